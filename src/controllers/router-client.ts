import { Agent, request } from 'undici';
import { z } from 'zod';
import { ports } from '../api/names.ts';
import { routerStatusSchema } from '../api/router-status.ts';
import type { RouterStatus } from '../api/router-status.ts';

/** How the operator talks to router pods: by pod address, over one pool of connections. */
export interface RouterClient {
  /** The router's status, or undefined when it does not answer in time or answers something else. */
  status(address: string, signal: AbortSignal): Promise<RouterStatus | undefined>;
  /**
   * Sends one short chat request through a router: the SLM drafts a token, and the LLM supplies it.
   * @param viaLLM - false: only the SLM is asked (the LLM is scaled to zero)
   * @returns undefined when it was answered rightly, else what went wrong
   */
  probe(address: string, model: string, viaLLM: boolean, signal: AbortSignal): Promise<string | undefined>;
  close(): Promise<void>;
}

/** @param timeouts - ms; a status is local work, a probe runs two models that may just have been loaded */
export function routerClient(timeouts = { statusMs: 2_000, probeMs: 60_000 }): RouterClient {
  const agent = new Agent({ keepAliveTimeout: 4_000, connections: 4 });
  const url = (address: string, port: number, path: string): string =>
    `http://${address.includes(':') ? `[${address}]` : address}:${port}${path}`;

  return {
    async status(address, signal) {
      try {
        const { statusCode, body } = await request(url(address, ports.admin, '/r2r/status'), {
          dispatcher: agent,
          signal: AbortSignal.any([signal, AbortSignal.timeout(timeouts.statusMs)]),
        });
        const parsed = routerStatusSchema.safeParse(await body.json());
        return statusCode === 200 && parsed.success ? parsed.data : undefined;
      } catch {
        signal.throwIfAborted();
        return undefined;
      }
    },

    async probe(address, model, viaLLM, signal) {
      const body = {
        model,
        messages: [{ role: 'user', content: 'ping' }],
        max_tokens: 1,
        // entropy is never below 0, so every drafted token goes to the LLM
        r2r: viaLLM ? { strategy: 'entropy', threshold: 0 } : { strategy: 'slm' },
      };
      try {
        const answer = await request(url(address, ports.router, '/v1/chat/completions'), {
          dispatcher: agent,
          method: 'POST',
          headers: { 'content-type': 'application/json', 'x-request-id': 'r2r-operator-probe' },
          body: JSON.stringify(body),
          signal: AbortSignal.any([signal, AbortSignal.timeout(timeouts.probeMs)]),
        });
        const text = await answer.body.text();
        if (answer.statusCode !== 200) return `the probe request was answered with ${answer.statusCode}: ${text.slice(0, 300)}`;
        const expected = viaLLM ? 'llm' : 'slm';
        return tokensFrom(JSON.parse(text), expected) > 0
          ? undefined
          : `the probe request was answered without the ${expected.toUpperCase()}`;
      } catch (error) {
        signal.throwIfAborted();
        return `the probe request failed: ${error instanceof Error ? error.message : String(error)}`;
      }
    },

    close: () => agent.close(),
  };
}

const answerSchema = z.object({ r2r: z.object({ token_counts: z.record(z.string(), z.number()) }) });

function tokensFrom(answer: unknown, source: string): number {
  const parsed = answerSchema.safeParse(answer);
  return parsed.success ? (parsed.data.r2r.token_counts[source] ?? 0) : 0;
}
