import { randomUUID } from 'node:crypto';
import type { Tokenizer } from '../model/tokenizer.ts';
import { HttpError } from './http-error.ts';
import type { SequenceRequest } from './messages.ts';
import type { JsonObject } from './json-object.ts';
import { checkLength, parseSampling, type SamplingLimits } from './sampling-request.ts';

/** What requests are checked against. */
export interface RequestLimits extends SamplingLimits {
  /** Whether hidden states may be asked for. */
  readonly hiddenStates: boolean;
}

/** One sequence to generate and what its answer shows. */
export interface SequencePlan {
  readonly request: SequenceRequest;
  /** Log-probabilities come with the text of their tokens. */
  readonly withText: boolean;
  readonly withPromptIds: boolean;
}

/** A `/generate` body taken apart. */
export interface GeneratePlan {
  /** One sequence, answered as an object; else an array. */
  readonly single: boolean;
  readonly stream: boolean;
  readonly sequences: readonly SequencePlan[];
  /** Prompts to be computed before the sequences start, so that samples of one prompt share it. */
  readonly warmups: readonly SequencePlan[];
}

/** More of them in one request are a mistake, or meant to exhaust the memory. */
const maxSequences = 4096;

export const newRequestId = (): string => randomUUID().replaceAll('-', '');

function refuseUnsupported(body: JsonObject): void {
  const present = (key: string) => body[key] !== undefined && body[key] !== null && body[key] !== false;
  if (present('input_embeds') && !present('text') && !present('input_ids')) {
    throw HttpError.refused('input_embeds is not supported by the CPU engine; send text or input_ids, or use SGLang');
  }
  if (typeof body['lora_path'] === 'string')
    throw HttpError.refused(`LoRA adapter '${body['lora_path']}' was requested, but LoRA is not enabled.`);
  if (typeof body['custom_logit_processor'] === 'string')
    throw HttpError.refused('The server is not configured to enable custom logit processor.');
  const unsupported = [
    'session_params',
    'return_sampling_mask',
    'return_flat_raw_top_logprobs',
    'return_flat_raw_output_top_logprobs',
    'max_thinking_tokens',
  ];
  const found = unsupported.find(present);
  if (found) throw HttpError.refused(`${found} is not supported by the CPU engine; leave it out, or use SGLang`);
}

/** The prompts of a body, as token ids. Throws for none, or an empty one (which kills a real SGLang). */
function prompts(body: JsonObject, tokenizer: Tokenizer): { readonly single: boolean; readonly ids: readonly (readonly number[])[] } {
  const { input_ids: inputIds, text } = body;
  // ids win over text, but whether there is one prompt or many is seen from the text
  const source = inputIds ?? text;
  if (source === undefined || source === null) throw HttpError.refused('Either text, input_ids or input_embeds should be provided.');
  if (Array.isArray(inputIds) && inputIds.length === 0 && (text === undefined || text === null))
    throw HttpError.refused('input_ids cannot be empty.');
  const single = typeof source === 'string' || (Array.isArray(source) && typeof source[0] === 'number');
  const all = (single ? [source] : source) as readonly (string | readonly number[])[];
  const ids = all.map((prompt) => (typeof prompt === 'string' ? tokenizer.encode(prompt, { addSpecialTokens: true }) : prompt));
  return { single, ids };
}

function checkIds(ids: readonly number[], vocabSize: number): void {
  if (ids.length === 0) throw HttpError.refused('The prompt has no tokens; send at least one.');
  const wrong = ids.find((id) => id < 0 || id >= vocabSize);
  if (wrong !== undefined)
    throw HttpError.refused(`input_ids contains out-of-vocabulary token id ${wrong}; valid range is [0, ${vocabSize}).`);
}

/** Spreads a value over a batch: item i of a list, or the value itself for every item. */
function spread(body: JsonObject, key: string, single: boolean, count: number): readonly unknown[] {
  const value = body[key];
  if (!Array.isArray(value)) return Array.from({ length: count }, () => value);
  if (value.length !== count) throw HttpError.refused(`The length of ${key} should be equal to the batch size.`);
  return single ? [value[0]] : value;
}

function spreadTokenIds(body: JsonObject, count: number): readonly (readonly number[])[] {
  const value = (body['token_ids_logprob'] ?? []) as readonly number[] | readonly (readonly number[])[];
  if (Array.isArray(value[0])) {
    if (value.length !== count) throw HttpError.refused('The length of token_ids_logprob should be equal to the batch size.');
    return value as readonly (readonly number[])[];
  }
  return Array.from({ length: count }, () => value as readonly number[]);
}

function requestIds(rid: unknown, single: boolean, count: number): readonly string[] {
  if (typeof rid === 'string') return single ? [rid] : Array.from({ length: count }, (_, index) => `${rid}_${index}`);
  if (!Array.isArray(rid)) return Array.from({ length: count }, newRequestId);
  const rids = rid as readonly string[];
  if (rids.length !== count) throw HttpError.refused('The specified rids length mismatch with the batch_size for batch processing.');
  const repeated = [...new Set(rids.filter((each, index) => rids.indexOf(each) !== index))];
  if (repeated.length > 0)
    throw HttpError.refused(`Duplicate request IDs detected within the request: [${repeated.map((each) => `'${each}'`).join(', ')}]`);
  return rids;
}

function logprobRequest(
  fields: { readonly startLength: number; readonly topCount: number; readonly tokenIds: readonly number[] },
  promptLength: number,
  vocabSize: number,
): SequenceRequest['logprobs'] {
  const { startLength, topCount, tokenIds } = fields;
  const outside = tokenIds.find((id) => id < 0 || id >= vocabSize);
  if (outside !== undefined)
    throw HttpError.refused(`token_ids_logprob contains out-of-vocabulary token id ${outside}; valid range is [0, ${vocabSize}).`);
  if (topCount > vocabSize) throw HttpError.refused(`top_logprobs_num must be at most the vocabulary size ${vocabSize}, got ${topCount}.`);
  if (startLength < -1) throw HttpError.refused(`logprob_start_len must be at least -1, got ${startLength}.`);
  if (startLength > promptLength) {
    throw HttpError.refused(
      `req.logprob_start_len=${startLength} is higher than the number of input tokens len(req.origin_input_ids)=${promptLength}. Please use a smaller logprob_start_len.`,
    );
  }
  return { startLength: startLength === promptLength ? -1 : startLength, topCount: Math.max(topCount, 0), tokenIds };
}

/** Takes a checked `/generate` body apart. Throws `HttpError` for what SGLang refuses, and for what would kill it. */
export function planGenerate(body: JsonObject, tokenizer: Tokenizer, limits: RequestLimits): GeneratePlan {
  refuseUnsupported(body);
  const { single, ids } = prompts(body, tokenizer);
  const count = ids.length;
  const samplings = spread(body, 'sampling_params', single, count).map((fields) => (fields ?? {}) as JsonObject);
  const rids = requestIds(body['rid'], single, count);
  const wantsLogprobs = spread(body, 'return_logprob', single, count);
  const starts = spread(body, 'logprob_start_len', single, count);
  const tops = spread(body, 'top_logprobs_num', single, count);
  const tokenIds = spreadTokenIds(body, count);
  const hidden = spread(body, 'return_hidden_states', single, count);
  if (single && Array.isArray(body['extra_key'])) throw HttpError.refused('extra_key should be a string for a single request.');
  const cacheKeys = spread(body, 'extra_key', single, count);
  const copies = samplings.map(({ n }) => (typeof n === 'number' ? n : 1));
  if (copies.some((each) => each !== copies[0]))
    throw HttpError.refused('The parallel_sample_num should be the same for all samples in sample params.');
  const samples = copies[0] ?? 1;
  if (count * samples > maxSequences) {
    throw HttpError.refused(
      `This request asks for ${count * samples} sequences (prompts times n); the CPU engine takes at most ${maxSequences} at a time.`,
    );
  }
  const stream = body['stream'] === true;

  const plans = ids.map((promptIds, index): SequencePlan => {
    const sampling = samplings[index] ?? {};
    checkLength(promptIds.length, sampling['max_new_tokens'], limits);
    checkIds(promptIds, limits.vocabSize);
    if (hidden[index] === true && !limits.hiddenStates) {
      throw HttpError.refused(
        'The server is not configured to return hidden states. Please set `--return-hidden-states-mode last`, `--return-hidden-states-mode full`, or the legacy `--enable-return-hidden-states` flag.',
      );
    }
    const fields = {
      startLength: (starts[index] ?? -1) as number,
      topCount: (tops[index] ?? 0) as number,
      tokenIds: tokenIds[index] ?? [],
    };
    const cacheKey = cacheKeys[index];
    const params = parseSampling(sampling, promptIds.length, tokenizer, limits);
    if (promptIds.length >= limits.maxRequestLength - 5) {
      throw HttpError.refused(
        `Input length (${promptIds.length} tokens) exceeds the maximum allowed length (${limits.maxRequestLength - 5} tokens). Use a shorter input or enable --allow-auto-truncate.`,
      );
    }
    return {
      request: {
        rid: rids[index] ?? newRequestId(),
        promptIds: Int32Array.from(promptIds),
        sampling: params,
        stream,
        logprobs: wantsLogprobs[index] === true ? logprobRequest(fields, promptIds.length, limits.vocabSize) : undefined,
        hiddenStates: hidden[index] === true,
        ...(typeof cacheKey === 'string' && { cacheKey }),
      },
      withText: body['return_text_in_logprobs'] === true,
      withPromptIds: body['return_prompt_token_ids'] === true,
    };
  });
  if (samples <= 1) return { single, stream, sequences: plans, warmups: [] };
  const renamed = (plan: SequencePlan, change: Partial<SequenceRequest>) => ({
    ...plan,
    request: { ...plan.request, rid: newRequestId(), ...change },
  });
  return {
    single: false,
    stream,
    sequences: plans.flatMap((plan) => Array.from({ length: samples }, () => renamed(plan, {}))),
    warmups: plans.map((plan) =>
      renamed(plan, { stream: false, logprobs: undefined, sampling: { ...plan.request.sampling, minNewTokens: 0, maxNewTokens: 0 } }),
    ),
  };
}
