import { EngineError } from './errors.ts';
import type { SequenceJson } from './sequence-json.ts';

/** The whole sequence so far: prompt and everything emitted. */
export interface TokenPrefix {
  readonly ids: readonly number[];
  /** The same ids as they stand in the request, where the caller keeps them so: long sequences are then neither written nor checked anew. */
  readonly idsJson?: SequenceJson;
}

/** One greedy continuation of a token sequence. Nothing else can be asked for: other sampling keys would change the logits or be refused. */
export interface GenerateCall extends TokenPrefix {
  readonly maxNewTokens: number;
  /** Entries of each token's distribution to return, best first; clamped to the vocabulary. 0 or absent: none. */
  readonly topLogprobs?: number;
  /** Return the state that entered the LM head for each token. */
  readonly hiddenStates?: boolean;
  /** Ids that end generation besides the model's own end tokens. */
  readonly stopTokenIds?: readonly number[];
  readonly timeoutMs: number;
}

/** The JSON body of `POST /generate`. */
export interface GenerateBody {
  readonly rid: string;
  readonly input_ids: readonly number[];
  readonly sampling_params: { readonly max_new_tokens: number; readonly temperature: 0; readonly stop_token_ids?: readonly number[] };
  readonly return_logprob?: true;
  readonly top_logprobs_num?: number;
  readonly return_hidden_states?: true;
}

/**
 * Builds the request body, refusing what would kill or confuse a real server: an id outside `[0, vocabSize)` or a
 * `top_logprobs_num` above the vocabulary ends SGLang's scheduler, an empty sequence or a missing `max_new_tokens` is a 400 or 128 tokens.
 * `logprob_start_len` is never sent (any value >= 0 throws the prefix cache away) and `stream` never with hidden states.
 *
 * @throws EngineError `invalid_call`, `invalid_token`
 */
export function generateBody(call: GenerateCall, rid: string, server: { readonly url: string; readonly vocabSize: number }): GenerateBody {
  if (rid === '') throw new EngineError('invalid_call', server.url, 'rid is empty: an abort with it would end every request');
  if (call.ids.length === 0) throw new EngineError('invalid_call', server.url, 'ids is empty: send at least one token');
  if (!Number.isInteger(call.maxNewTokens) || call.maxNewTokens < 1)
    throw new EngineError('invalid_call', server.url, `maxNewTokens is ${call.maxNewTokens}: it must be a whole number of at least 1`);
  const { idsJson } = call;
  if (idsJson && (idsJson.length !== call.ids.length || idsJson.last !== call.ids.at(-1)))
    throw new EngineError('invalid_call', server.url, 'idsJson is of another sequence than ids: extend both together');
  const wrong = idsJson
    ? idsJson.largest >= server.vocabSize
      ? idsJson.largest
      : undefined
    : call.ids.find((id) => !Number.isInteger(id) || id < 0 || id >= server.vocabSize);
  if (wrong !== undefined)
    throw new EngineError('invalid_token', server.url, `token id ${wrong} is outside the model's vocabulary of ${server.vocabSize}`);
  const topLogprobs = Math.min(call.topLogprobs ?? 0, server.vocabSize);
  return {
    rid,
    input_ids: call.ids,
    sampling_params: {
      max_new_tokens: call.maxNewTokens,
      temperature: 0,
      ...(call.stopTokenIds && call.stopTokenIds.length > 0 && { stop_token_ids: call.stopTokenIds }),
    },
    ...(topLogprobs > 0 && { return_logprob: true, top_logprobs_num: topLogprobs }),
    ...(call.hiddenStates && { return_hidden_states: true }),
  };
}

/** The body's JSON text. */
export function bodyText(body: GenerateBody, idsJson?: SequenceJson): string {
  if (!idsJson) return JSON.stringify(body);
  const { input_ids: _, ...rest } = body;
  return `{"input_ids":[${idsJson.text}],${JSON.stringify(rest).slice(1)}`;
}
