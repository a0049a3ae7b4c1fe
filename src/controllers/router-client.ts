import { Agent, request } from 'undici';
import { z } from 'zod';
import { ports } from '../api/names.ts';
import { benchmarkAnswerSchema } from '../api/router-work.ts';
import type { BenchmarkRequest } from '../api/router-work.ts';
import { probeAnswerSchema, routerStatusSchema } from '../api/router-status.ts';
import type { ProbeAnswer, ProbeRequest, RouterStatus } from '../api/router-status.ts';
import { limitedText } from './limited-body.ts';

/** A status is a few kilobytes. */
const maxAnswerBytes = 1024 * 1024;

/** How the operator talks to router pods: by pod address, over one pool of connections. */
export interface RouterClient {
  /** The router's status, or undefined when it does not answer in time, or answers something else or too much. */
  status(address: string, signal: AbortSignal): Promise<RouterStatus | undefined>;
  /**
   * Has a router answer one short request: the SLM drafts a token, and the LLM supplies it.
   * @param viaLLM - false: only the SLM is asked (the LLM is scaled to zero)
   * @returns undefined when it was answered rightly, else what went wrong
   */
  probe(address: string, model: string, viaLLM: boolean, signal: AbortSignal): Promise<string | undefined>;
  /**
   * Has a router try out how many calls a second one LLM replica answers.
   * @returns undefined when there is no figure: clients came, or the router is from before there was such a route
   */
  benchmark?(address: string, request: BenchmarkRequest, signal: AbortSignal): Promise<number | undefined>;
  close(): Promise<void>;
}

/**
 * @param timeouts - ms; a status is local work, a probe runs two models that may just have been loaded
 * @param routerPorts - of every router
 */
export function routerClient(
  timeouts = { statusMs: 2_000, probeMs: 60_000 },
  routerPorts: { readonly router: number; readonly admin: number } = ports,
): RouterClient {
  const agent = new Agent({ keepAliveTimeout: 4_000, connections: 4 });
  const url = (address: string, port: number, path: string): string =>
    `http://${address.includes(':') ? `[${address}]` : address}:${port}${path}`;
  const post = async (to: string, content: object, signal: AbortSignal): Promise<{ readonly status: number; readonly text: string }> => {
    const { statusCode, body } = await request(to, {
      dispatcher: agent,
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': 'r2r-operator-probe' },
      body: JSON.stringify(content),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeouts.probeMs)]),
    });
    return { status: statusCode, text: await limitedText(body, maxAnswerBytes) };
  };

  return {
    async status(address, signal) {
      try {
        const { statusCode, body } = await request(url(address, routerPorts.admin, '/r2r/status'), {
          dispatcher: agent,
          signal: AbortSignal.any([signal, AbortSignal.timeout(timeouts.statusMs)]),
        });
        const parsed = routerStatusSchema.safeParse(JSON.parse(await limitedText(body, maxAnswerBytes)));
        return statusCode === 200 && parsed.success ? parsed.data : undefined;
      } catch {
        signal.throwIfAborted();
        return undefined;
      }
    },

    async probe(address, model, viaLLM, signal) {
      try {
        const probe: ProbeRequest = { viaLLM };
        const { status, text } = await post(url(address, routerPorts.admin, '/r2r/probe'), probe, signal);
        if (status !== 404) return problemOf(status, readProbe(text), text, viaLLM);
        // a router of the first version has no such route, and neither API keys nor TLS in front of its API
        const chat = await post(url(address, routerPorts.router, '/v1/chat/completions'), probeChat(model, viaLLM), signal);
        return problemOf(chat.status, readChat(chat.text), chat.text, viaLLM);
      } catch (error) {
        signal.throwIfAborted();
        return `the probe request failed: ${error instanceof Error ? error.message : String(error)}`;
      }
    },

    async benchmark(address, content, signal) {
      const { text } = await post(url(address, routerPorts.admin, '/r2r/benchmark'), content, signal);
      return benchmarkAnswerSchema.safeParse(readJson(text)).data?.callsPerSecond;
    },

    close: () => agent.close(),
  };
}

/** What is wrong with an answer to the probe; undefined when nothing is. */
function problemOf(status: number, answer: ProbeAnswer | undefined, text: string, viaLLM: boolean): string | undefined {
  if (status !== 200 || answer?.ok !== true)
    return `the probe request was answered with ${status}: ${(answer?.message ?? text).slice(0, 300)}`;
  const expected = viaLLM ? 'llm' : 'slm';
  return (answer.sources?.[expected] ?? 0) > 0 ? undefined : `the probe request was answered without the ${expected.toUpperCase()}`;
}

function readProbe(text: string): ProbeAnswer | undefined {
  return probeAnswerSchema.safeParse(readJson(text)).data;
}

function probeChat(model: string, viaLLM: boolean): object {
  return {
    model,
    messages: [{ role: 'user', content: 'ping' }],
    max_tokens: 1,
    // entropy is never below 0, so every drafted token goes to the LLM
    r2r: viaLLM ? { strategy: 'entropy', threshold: 0 } : { strategy: 'slm' },
  };
}

const chatAnswerSchema = z.object({
  r2r: z.object({ token_counts: z.object({ slm: z.number(), llm: z.number(), fallback: z.number() }) }),
});

function readChat(text: string): ProbeAnswer | undefined {
  const parsed = chatAnswerSchema.safeParse(readJson(text)).data;
  return parsed && { ok: true, sources: parsed.r2r.token_counts };
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
