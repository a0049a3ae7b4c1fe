import { Agent, request } from 'undici';
import { promptOf } from './script.ts';

export interface Run {
  readonly conversations: number;
  /** Of each conversation. */
  readonly tokens: number;
  readonly divergentPerMille: number;
}

export interface Measured {
  readonly tokensPerSecond: number;
  /** Share of the tokens that the LLM supplied. */
  readonly llmShare: number;
}

const agent = new Agent({ connections: 128, bodyTimeout: 0, headersTimeout: 0 });
let conversation = 0;

async function post(url: string, path: string, body: unknown): Promise<string> {
  const headers = { 'content-type': 'application/json' };
  const answer = await request(`${url}${path}`, { dispatcher: agent, method: 'POST', headers, body: JSON.stringify(body) });
  const text = await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`${path} answered ${answer.statusCode}: ${text.slice(0, 300)}`);
  return text;
}

async function timed(
  { conversations, tokens, divergentPerMille }: Run,
  ask: (prompt: readonly number[]) => Promise<number>,
): Promise<Measured> {
  const prompts = Array.from({ length: conversations }, () => promptOf(conversation++, divergentPerMille));
  const started = performance.now();
  const fromLlm = await Promise.all(prompts.map(ask));
  const seconds = (performance.now() - started) / 1000;
  const all = conversations * tokens;
  return { tokensPerSecond: all / seconds, llmShare: fromLlm.reduce((a, b) => a + b, 0) / all };
}

/** One model alone, each conversation one call to its server. */
export async function alone(url: string, run: Run): Promise<Measured> {
  let rid = 0;
  return timed(run, async (prompt) => {
    await post(url, '/generate', { rid: String(rid++), input_ids: prompt, sampling_params: { max_new_tokens: run.tokens } });
    return 0;
  });
}

/** Both models behind the router, each conversation one streamed request of OpenAI's API. */
export async function routed(url: string, run: Run): Promise<Measured> {
  return timed(run, async (prompt) => {
    const text = await post(url, '/v1/completions', {
      model: 'bench',
      prompt,
      max_tokens: run.tokens,
      stream: true,
      stream_options: { include_usage: true },
    });
    const counts = [...text.matchAll(/"token_counts":(\{[^}]*\})/g)].map(([, json = '{}']) => JSON.parse(json) as Record<string, number>);
    const last = counts.at(-1);
    const all = (last?.['slm'] ?? 0) + (last?.['llm'] ?? 0);
    if (all !== run.tokens) throw new Error(`${all} tokens came instead of ${run.tokens}: ${text.slice(-300)}`);
    return last?.['llm'] ?? 0;
  });
}
