import { Agent, request } from 'undici';
import { conversationsLike, promptOf } from './script.ts';

export interface Run {
  readonly conversations: number;
  /** Of each conversation. */
  readonly tokens: number;
  readonly divergentPerMille: number;
}

const agent = new Agent({ connections: 128, bodyTimeout: 0, headersTimeout: 0 });

async function post(url: string, path: string, body: unknown, signal?: AbortSignal): Promise<string> {
  const headers = { 'content-type': 'application/json' };
  const answer = await request(`${url}${path}`, { dispatcher: agent, method: 'POST', headers, body: JSON.stringify(body), signal });
  const text = await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`${path} answered ${answer.statusCode}: ${text.slice(0, 300)}`);
  return text;
}

/** One model alone, each conversation one call to its server. @returns tokens a second */
export async function alone(url: string, { conversations, tokens, divergentPerMille }: Run): Promise<number> {
  const started = performance.now();
  await Promise.all(
    Array.from({ length: conversations }, (_, index) =>
      post(url, '/generate', {
        rid: String(index),
        input_ids: promptOf(index, divergentPerMille),
        sampling_params: { max_new_tokens: tokens },
      }),
    ),
  );
  return (conversations * tokens * 1000) / (performance.now() - started);
}

/**
 * Keeps so many conversations going with both models behind the router, each a streamed request of OpenAI's API, until `during` has come to
 * its end: what it measures is a router under a steady load, not the last stragglers of a batch.
 */
export async function underLoad<T>(url: string, { conversations, tokens, divergentPerMille }: Run, during: () => Promise<T>): Promise<T> {
  const over = new AbortController();
  const prompts = conversationsLike(divergentPerMille, tokens, 2 * conversations);
  let next = 0;
  const converse = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const body = {
        model: 'bench',
        prompt: prompts[next++ % prompts.length],
        max_tokens: tokens,
        stream: true,
        stream_options: { include_usage: true },
      };
      const text = await post(url, '/v1/completions', body, over.signal);
      const [, json = '{}'] = /"token_counts":(\{[^}]*\})/.exec(text) ?? [];
      const { slm = 0, llm = 0 } = JSON.parse(json) as Record<string, number>;
      if (slm + llm !== tokens) throw new Error(`${slm + llm} tokens came instead of ${tokens}: ${text.slice(-300)}`);
    }
  };
  const workers = Array.from({ length: conversations }, () =>
    converse().catch((error: unknown) => {
      if (!over.signal.aborted) throw error;
    }),
  );
  try {
    return await Promise.race([during(), Promise.all(workers).then(() => Promise.reject(new Error('the load ended')))]);
  } finally {
    over.abort();
    await Promise.allSettled(workers);
  }
}
