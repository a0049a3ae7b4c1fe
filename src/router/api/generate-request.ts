import { z } from 'zod';
import { ApiError } from '../errors.ts';
import type { ReadRequest } from '../generation-request.ts';
import { promptField, promptsOf } from './completions-request.ts';
import {
  commonRefusals,
  nullish,
  r2rField,
  readFields,
  refuse,
  routingFields,
  samplingFields,
  samplingOf,
  stopField,
  type Refusals,
} from './fields.ts';

const samplingParams = z.object({ max_new_tokens: nullish(z.number().int().min(1)), stop: stopField, ...samplingFields });

const generateBody = z.object({
  text: nullish(promptField),
  input_ids: nullish(promptField),
  sampling_params: nullish(samplingParams.loose()),
  r2r: r2rField,
});

const refusals: Refusals = {
  stream: { asksForIt: (value) => value === true, why: 'this route answers whole; stream on /v1/completions' },
  return_logprob: { asksForIt: (value) => value === true, why: 'ask for logprobs on /v1/completions' },
  return_hidden_states: { asksForIt: (value) => value === true, why: 'they stay in the router' },
};

/** Upstream's default. */
const defaultMaxTokens = 128;

/**
 * Checks the body of `POST /generate`, upstream's route: SGLang's `text` or `input_ids` with `sampling_params`. Unlike there, a left out
 * temperature means 0, and a sampling key that has no effect is refused.
 *
 * @param randomSeed for a request that samples and names no seed
 * @throws ApiError `invalid_value` or `unsupported_parameter`, naming the field
 */
export function readGenerateRequest(body: unknown, randomSeed: number): ReadRequest {
  const fields = readFields(generateBody, body, refusals);
  const sampling = fields.sampling_params ?? {};
  refuse(sampling, commonRefusals, 'sampling_params.');
  const unknown = Object.keys(sampling).find((key) => !(key in samplingParams.shape) && !(key in commonRefusals));
  if (unknown !== undefined) {
    const param = `sampling_params.${unknown}`;
    throw new ApiError('unsupported_parameter', `${param} is not supported: nobody here knows it`, { param });
  }
  const { text, input_ids: inputIds } = fields;
  const isText = text !== undefined && text !== null;
  if (isText === (inputIds !== undefined && inputIds !== null))
    throw new ApiError('invalid_value', 'text: give either text or input_ids', { param: 'text' });
  const isWrong = (value: typeof text, type: string): boolean => [[value].flat(2)[0]].some((first) => typeof first !== type);
  if (isText && isWrong(text, 'string')) throw new ApiError('invalid_value', 'text: expected a text or a list of texts', { param: 'text' });
  if (!isText && isWrong(inputIds, 'number'))
    throw new ApiError('invalid_value', 'input_ids: expected token ids, or a list of such lists', { param: 'input_ids' });
  return {
    model: undefined,
    ...promptsOf(text ?? inputIds ?? '', 'text', 'input_ids'),
    stream: false,
    includeUsage: false,
    choices: 1,
    maxTokens: sampling.max_new_tokens ?? defaultMaxTokens,
    stop: [sampling.stop ?? []].flat(),
    sampling: samplingOf(sampling, randomSeed),
    topLogprobs: undefined,
    conversation: undefined,
    ...routingFields(fields.r2r),
    inlineReasoning: true,
  };
}
