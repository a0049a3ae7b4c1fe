import type { GenerationStep } from '../generation.ts';
import { extension, type AnswerContext, type AnswerWriter, type ChoiceTotals, type Json } from './answer.ts';

/** Writes answers of `/generate`: upstream's four fields, SGLang's `meta_info`, and our own. Never streamed. */
export function generateWriter(context: AnswerContext): AnswerWriter {
  const { head, request } = context;
  const one = (steps: readonly GenerationStep[], totals: ChoiceTotals, index: number): Json => {
    const tokens = steps.flatMap((step) => step.tokens);
    const ids = request.prompts[index]?.ids ?? [];
    return {
      text: steps.map(({ content }) => content).join(''),
      input_ids: ids,
      output_ids: tokens.map(({ id }) => id),
      ...extension(context, totals.counts, request.listTokens ? tokens : undefined),
      meta_info: {
        id: request.batched ? `${head.id}-${index}` : head.id,
        finish_reason: { type: totals.end?.finish ?? 'stop' },
        prompt_tokens: ids.length,
        completion_tokens: tokens.length,
      },
    };
  };
  return {
    whole(choices, totals) {
      const answers = totals.map((total, index) => one(choices[index] ?? [], total, index));
      return request.batched ? answers : answers[0];
    },
    step: () => undefined,
    end: () => ({}),
    usage: () => ({}),
  };
}
