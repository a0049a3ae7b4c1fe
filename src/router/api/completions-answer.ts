import type { TokenPiece } from '../generation.ts';
import { extension, extensions, listedStep, usage, type AnswerContext, type AnswerWriter, type ChoiceTotals, type Json } from './answer.ts';
import { completionsLogprobs } from './logprobs.ts';

/** Writes answers of `/v1/completions`. */
export function completionsWriter(context: AnswerContext): AnswerWriter {
  const { head, request, tokenizer, endIds } = context;
  const object = 'text_completion';
  const logprobsOf = (tokens: readonly TokenPiece[], offset: number): object | null =>
    request.topLogprobs === undefined ? null : completionsLogprobs(tokens, { tokenizer, endIds, topLogprobs: request.topLogprobs }, offset);
  const chunk = (index: number, text: string, finish: string | null, more: Json = {}, logprobs: object | null = null): Json => ({
    ...head,
    object,
    choices: [{ index, text, logprobs, finish_reason: finish }],
    ...(request.includeUsage && { usage: null }),
    ...more,
  });
  const finish = ({ end }: ChoiceTotals): string => end?.finish ?? 'stop';
  return {
    whole(choices, totals) {
      const { top, perChoice } = extensions(context, choices, totals);
      return {
        ...head,
        object,
        choices: totals.map((total, index) => {
          const steps = choices[index] ?? [];
          return {
            index,
            text: steps.map(({ content }) => content).join(''),
            logprobs: logprobsOf(
              steps.flatMap(({ tokens }) => tokens),
              0,
            ),
            finish_reason: finish(total),
            ...perChoice[index],
          };
        }),
        usage: usage(request, totals),
        ...top,
      };
    },
    step(choice, step, { characters }) {
      const list = listedStep(context, step);
      const logprobs = step.tokens.length > 0 ? logprobsOf(step.tokens, characters) : null;
      return step.content === '' && !list && !logprobs ? undefined : chunk(choice, step.content, null, list, logprobs);
    },
    end: (choice, totals) => chunk(choice, '', finish(totals), extension(context, totals.counts)),
    usage: (totals) => ({ ...head, object, choices: [], usage: usage(request, totals) }),
  };
}
