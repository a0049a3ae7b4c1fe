import type { GenerationStep, TokenPiece } from '../generation.ts';
import { extension, extensions, listedStep, usage, type AnswerContext, type AnswerWriter, type ChoiceTotals, type Json } from './answer.ts';
import { chatLogprobs } from './logprobs.ts';

/** Writes answers of `/v1/chat/completions`. */
export function chatWriter(context: AnswerContext): AnswerWriter {
  const { head, request, tokenizer, endIds } = context;
  const logprobsOf = (tokens: readonly TokenPiece[]): object | null =>
    request.topLogprobs === undefined ? null : chatLogprobs(tokens, { tokenizer, endIds, topLogprobs: request.topLogprobs });
  // Where usage was asked for, every chunk has the field, as OpenAI's do.
  const chunk = (index: number, delta: Json, finish: string | null, more: Json = {}, logprobs: object | null = null): Json => ({
    ...head,
    object: 'chat.completion.chunk',
    choices: [{ index, delta, logprobs, finish_reason: finish }],
    ...(request.includeUsage && { usage: null }),
    ...more,
  });
  const finish = ({ end }: ChoiceTotals): string => end?.finish ?? 'stop';
  return {
    whole(choices, totals) {
      const { top, perChoice } = extensions(context, choices, totals);
      return {
        ...head,
        object: 'chat.completion',
        choices: totals.map((total, index) => {
          const steps = choices[index] ?? [];
          return {
            index,
            message: messageOf(steps),
            logprobs: logprobsOf(steps.flatMap(({ tokens }) => tokens)),
            finish_reason: finish(total),
            ...perChoice[index],
          };
        }),
        usage: usage(request, totals),
        ...top,
      };
    },
    begin: (choice) => chunk(choice, { role: 'assistant', content: '' }, null),
    step(choice, step) {
      const { content, reasoning, tokens } = step;
      const list = listedStep(context, step);
      const logprobs = tokens.length > 0 ? logprobsOf(tokens) : null;
      if (content === '' && reasoning === '' && !list && !logprobs) return undefined;
      const delta = {
        ...((content !== '' || reasoning === '') && { content }),
        ...(reasoning !== '' && { reasoning_content: reasoning }),
      };
      return chunk(choice, delta, null, list, logprobs);
    },
    end: (choice, totals) => chunk(choice, {}, finish(totals), extension(context, totals.counts)),
    usage: (totals) => ({ ...head, object: 'chat.completion.chunk', choices: [], usage: usage(request, totals) }),
  };
}

function messageOf(steps: readonly GenerationStep[]): Json {
  const reasoning = steps.map((step) => step.reasoning).join('');
  return {
    role: 'assistant',
    content: steps.map(({ content }) => content).join(''),
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    refusal: null,
  };
}
