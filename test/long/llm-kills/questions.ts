/** What the clients ask, in all ways that tokens come from an LLM: by network and by entropy, greedily and sampled, and the LLM alone. */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'undici';
import type { StrategyName } from '../../../src/api/strategies.ts';
import { chunks, type Chunk, type Completion, type Extension, type Piece } from '../../router/chat-client.ts';
import { tinyModels } from '../../router/tiny-pair.ts';

export interface Question {
  readonly question: string;
  readonly strategy: StrategyName;
  readonly threshold: number | undefined;
  readonly temperature: number;
  readonly seed: number;
}

/** No answer of the example models that is one is longer. */
export const maxTokens = 150;

/** Low enough for both models to supply tokens of each answer. */
const ways = [
  { strategy: 'neural', threshold: undefined, temperature: 0 },
  { strategy: 'entropy', threshold: 0.45, temperature: 0 },
  { strategy: 'entropy', threshold: 0.1, temperature: 0.8 },
  { strategy: 'neural', threshold: 0.4, temperature: 0.5 },
  { strategy: 'llm', threshold: undefined, temperature: 0 },
] as const;

export const questions: readonly Question[] = readFileSync(tinyModels.problems, 'utf8')
  .trim()
  .split('\n')
  .slice(0, 3 * ways.length)
  .map((line, index) => {
    const way = ways[index % ways.length]!;
    return { question: (JSON.parse(line) as { question: string }).question, seed: index, ...way };
  });

/** A whole answer, streamed or not, without what differs from time to time: its id and when it was made. */
export interface Answer {
  readonly reasoning: string;
  readonly content: string;
  readonly finish: string | null | undefined;
  readonly llmRatio: number | undefined;
  readonly degraded: boolean | undefined;
  readonly counts: Readonly<Record<string, number>> | undefined;
  readonly usage: unknown;
  readonly tokens: readonly (readonly [id: number, text: string, source: string])[];
}

/** A request waits for the LLM as long as it takes; and each has a connection of its own, which nobody tries again. */
const patient = new Agent({ headersTimeout: 0, bodyTimeout: 0, connect: { timeout: 10_000 } });

/** @throws what the connection says, or an Error with status and body of any answer but a whole one */
export async function ask(url: string, model: string, asked: Question, stream: boolean, signal?: AbortSignal): Promise<Answer> {
  const { question, strategy, threshold, temperature, seed } = asked;
  const body = {
    model,
    messages: [{ role: 'user', content: question }],
    max_tokens: maxTokens,
    temperature,
    seed,
    ...(stream && { stream, stream_options: { include_usage: true } }),
    r2r: { tokens: true, strategy, ...(threshold !== undefined && { threshold }) },
  };
  const response = await request(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    dispatcher: patient,
    reset: true,
    ...(signal && { signal }),
  });
  const text = await response.body.text();
  if (response.statusCode !== 200) throw new Error(`${response.statusCode} ${text.slice(0, 300)}`);
  return stream ? streamed(text) : whole(JSON.parse(text) as Completion);
}

function whole(completion: Completion): Answer {
  const choice = completion.choices[0];
  const { content, reasoning_content: reasoning = '' } = choice?.message ?? { content: '' };
  return answerOf(completion, { content, reasoning, finish: choice?.finish_reason, usage: completion.usage }, completion.r2r?.tokens ?? []);
}

async function streamed(text: string): Promise<Answer> {
  const parts: Chunk[] = [];
  let done = false;
  for await (const event of chunks(new Response(text, { headers: { 'content-type': 'text/event-stream' } }))) {
    if (done) throw new Error(`something behind [DONE]: ${text.slice(-300)}`);
    if (event === '[DONE]') done = true;
    else if (event.error) throw new Error(`the stream ends with an error: ${event.error.code} ${event.error.message}`);
    else parts.push(event);
  }
  if (!done) throw new Error(`the stream ends without [DONE]: ${text.slice(-300)}`);
  const joined = (field: 'content' | 'reasoning_content'): string => parts.map((part) => part.choices[0]?.delta[field] ?? '').join('');
  const last = parts.findLast((part) => part.choices[0]?.finish_reason);
  if (!last) throw new Error(`the stream ends without a finish reason: ${text.slice(-300)}`);
  const told = {
    content: joined('content'),
    reasoning: joined('reasoning_content'),
    finish: last.choices[0]?.finish_reason,
    usage: parts.findLast((part) => part.usage)?.usage,
  };
  return answerOf(
    last,
    told,
    parts.flatMap((part) => part.r2r?.tokens ?? []),
  );
}

function answerOf(
  { llm_ratio: llmRatio, r2r }: Extension,
  told: Pick<Answer, 'content' | 'reasoning' | 'finish' | 'usage'>,
  tokens: readonly Piece[],
): Answer {
  const pieces = tokens.map(({ id, text, source }) => [id, text, source] as const);
  return { ...told, llmRatio, degraded: r2r?.degraded, counts: r2r?.token_counts, tokens: pieces };
}
