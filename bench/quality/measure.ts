import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StrategyName } from '../../src/api/strategies.ts';
import { models } from './routed-pair.ts';

export interface Problem {
  readonly question: string;
  readonly answer: string;
}

/** A strategy and its threshold; left out: the checkpoint's own. */
export type Way = readonly [strategy: StrategyName, threshold?: number];

/** What one way of routing comes to. */
export interface Measured {
  readonly accuracy: number;
  readonly llmShare: number;
  readonly tokensPerSecond: number;
  /** Each problem, in the order in which they were given. */
  readonly solved: readonly boolean[];
}

type Point = Pick<Measured, 'accuracy' | 'llmShare'>;

interface Answer {
  readonly choices: readonly { readonly message: { readonly content: string } }[];
  readonly usage: { readonly completion_tokens: number };
  readonly r2r: { readonly token_counts: Readonly<Record<'slm' | 'llm' | 'fallback', number>> };
}

/** The first of the 200 problems that no model and no router was trained on. */
export function heldOutProblems(count: number): readonly Problem[] {
  return readFileSync(join(models, 'problems/held-out.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .slice(0, count)
    .map((line) => JSON.parse(line) as Problem);
}

/** What mixing whole answers of the two models would solve at an LLM share: the line that routing has to lie above. */
export function straightLine(slm: Point | undefined, llm: Point | undefined): (llmShare: number) => number {
  if (!slm || !llm) throw new Error('both models alone are part of the measurement');
  return (share) => slm.accuracy + ((share - slm.llmShare) / (llm.llmShare - slm.llmShare)) * (llm.accuracy - slm.accuracy);
}

async function ask(url: string, { question }: Problem, strategy: StrategyName, threshold: number | undefined): Promise<Answer> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'tiny',
      messages: [{ role: 'user', content: question }],
      max_tokens: 300,
      r2r: { strategy, ...(threshold !== undefined && { threshold }) },
    }),
  });
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  return (await response.json()) as Answer;
}

/** Asks all of `asked`, `concurrency` at a time. */
export async function measure(url: string, asked: readonly Problem[], concurrency: number, [strategy, threshold]: Way): Promise<Measured> {
  const started = performance.now();
  const next = asked.entries();
  const solved = asked.map(() => false);
  let [tokens, fromLlm] = [0, 0];
  const worker = async (): Promise<void> => {
    for (const [index, problem] of next) {
      const { choices, usage, r2r } = await ask(url, problem, strategy, threshold);
      solved[index] = /answer is (\d+)/.exec(choices[0]?.message.content ?? '')?.[1] === problem.answer;
      tokens += usage.completion_tokens;
      fromLlm += r2r.token_counts.llm;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return {
    accuracy: solved.filter(Boolean).length / asked.length,
    llmShare: fromLlm / tokens,
    tokensPerSecond: tokens / ((performance.now() - started) / 1000),
    solved,
  };
}

export const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

export const percent = (share: number): string => `${(share * 100).toFixed(1).padStart(5)} %`;
