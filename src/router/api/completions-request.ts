import { z } from 'zod';
import type { PromptInput, ReadRequest } from '../generation-request.ts';
import { commonFields, commonOf, completionsRefusals, nullish, readFields } from './fields.ts';

/** A prompt's first fault is enough, and a long one has many: they are looked for by a plain loop. */
export const tokenIds = z
  .array(z.unknown())
  .min(1)
  .refine((ids): ids is number[] => ids.every((id) => Number.isSafeInteger(id) && (id as number) >= 0), {
    message: 'expected token ids, whole numbers from 0 on',
  });

const texts = z
  .array(z.unknown())
  .min(1)
  .refine((items): items is string[] => items.every((item) => typeof item === 'string'));

/** A text, token ids, or a list of either. */
export const promptField = z.union([z.string(), texts, tokenIds, z.array(tokenIds).min(1)], {
  error: 'expected a text, a list of texts, a list of token ids, or a list of such lists; none of them empty',
});

const completionsBody = z.object({
  ...commonFields,
  prompt: promptField,
  /** OpenAI's older form: how many entries of each token's distribution. */
  logprobs: nullish(z.number().int().min(0).max(20)),
});

/**
 * Checks the body of `POST /v1/completions`.
 *
 * @param randomSeed for a request that samples and names no seed
 * @throws ApiError `invalid_value` or `unsupported_parameter`, naming the field
 */
export function readCompletionsRequest(body: unknown, randomSeed: number): ReadRequest {
  const fields = readFields(completionsBody, body, completionsRefusals);
  return {
    ...commonOf(fields, randomSeed),
    ...promptsOf(fields.prompt, 'prompt', 'prompt'),
    maxTokens: fields.max_tokens ?? undefined,
    topLogprobs: fields.logprobs ?? undefined,
    // There is one text, and nothing of the answer may be missing in it.
    inlineReasoning: true,
  };
}

/** One or several prompts, as texts or token ids. */
export function promptsOf(
  value: string | readonly string[] | readonly number[] | readonly (readonly number[])[],
  textField: string,
  idsField: string,
): Pick<ReadRequest, 'prompts' | 'batched'> {
  if (typeof value === 'string') return { prompts: [{ kind: 'text', field: textField, text: value }], batched: false };
  if (typeof value[0] === 'number') return { prompts: [{ kind: 'ids', field: idsField, ids: value as readonly number[] }], batched: false };
  const prompts = (value as readonly (string | readonly number[])[]).map((item, index): PromptInput => {
    const field = `${typeof item === 'string' ? textField : idsField}.${index}`;
    return typeof item === 'string' ? { kind: 'text', field, text: item } : { kind: 'ids', field, ids: item };
  });
  return { prompts, batched: true };
}
