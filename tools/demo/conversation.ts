/** Asks one question through the OpenAI API, streaming, and shows which model each token came from. */
import OpenAI from 'openai';

export interface Answer {
  /** The final text, reasoning left out. */
  readonly text: string;
  readonly tokens: number;
  /** Share of emitted tokens that the LLM supplied, 0..1. */
  readonly llmRatio: number;
  readonly seconds: number;
  readonly degraded: boolean;
}

interface SourcedToken {
  readonly text: string;
  readonly source: 'slm' | 'llm' | 'fallback';
}

/** What our router adds to OpenAI's chunks. */
interface RoutedChunk {
  readonly llm_ratio?: number;
  readonly r2r?: { readonly tokens?: readonly SourcedToken[]; readonly degraded?: boolean };
}

const colours = { slm: '', llm: '\u001b[1;35m', fallback: '\u001b[33m' } as const;
const reset = '\u001b[0m';

/** Text of a token as the terminal should show it; without colour, LLM tokens stand in brackets. */
export function paint({ text, source }: SourcedToken, colour: boolean): string {
  if (source === 'slm') return text;
  return colour ? `${colours[source]}${text}${reset}` : `[${text}]`;
}

/** @throws OpenAI.APIError when the endpoint refuses */
export async function ask(
  endpoint: { readonly baseURL: string; readonly model: string },
  question: string,
  write: (text: string) => void,
  colour: boolean,
): Promise<Answer> {
  const client = new OpenAI({ baseURL: endpoint.baseURL, apiKey: 'none', maxRetries: 2, timeout: 120_000 });
  const started = performance.now();
  const routing = { r2r: { tokens: true, inline_reasoning: true } };
  const stream = await client.chat.completions.create({
    model: endpoint.model,
    messages: [{ role: 'user', content: question }],
    max_completion_tokens: 400,
    stream: true,
    stream_options: { include_usage: true },
    ...routing,
  });
  let text = '';
  let tokens = 0;
  let llmRatio = 0;
  let degraded = false;
  for await (const chunk of stream) {
    const { llm_ratio: ratio, r2r } = chunk as RoutedChunk;
    for (const token of r2r?.tokens ?? []) write(paint(token, colour));
    text += chunk.choices[0]?.delta.content ?? '';
    tokens = chunk.usage?.completion_tokens ?? tokens;
    llmRatio = ratio ?? llmRatio;
    degraded ||= r2r?.degraded ?? false;
  }
  return { text: text.split('</think>').at(-1)?.trim() ?? '', tokens, llmRatio, seconds: (performance.now() - started) / 1000, degraded };
}

/** Whether the last number of an answer is the expected one: how a person would read it. */
export function isRight(text: string, expected: string): boolean {
  return text.match(/\d+/g)?.at(-1) === expected;
}
