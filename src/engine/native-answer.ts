import type { Tokenizer } from '../model/tokenizer.ts';
import type { Generation } from './generation.ts';
import { HttpError } from './http-error.ts';
import type { Ranked } from './logits.ts';

/** `[log-probability, token id, text or null]`. */
type LogprobEntry = readonly [logprob: number | null, id: number, text: string | null];

export interface AnswerStyle {
  readonly tokenizer: Tokenizer;
  /** Whether timings are part of the answer, as with SGLang's `--enable-metrics`. */
  readonly timings: boolean;
}

const seconds = (ms: number) => ms / 1000;

/** The log-probability fields of `meta_info`. */
function logprobFields(generation: Generation, tokenizer: Tokenizer): Record<string, unknown> {
  const { request, withText } = generation.plan;
  if (!request.logprobs) return {};
  const { topCount, tokenIds } = request.logprobs;
  const text = (id: number) => (withText ? tokenizer.decode([id], { keepSpecialTokens: true }) : null);
  const entries = (ids: readonly number[], values: readonly (number | null)[]) =>
    ids.map((id, index): LogprobEntry => [values[index] ?? null, id, text(id)]);
  const ranked = (top: Ranked | null) => top && entries(top.ids, top.logprobs);
  const chosen = (values: readonly number[] | null) => values && entries(tokenIds, values);
  const prompt = generation.promptLogprobs;
  const { ids, logprobs } = generation;
  const output = logprobs.map(({ logprob }, index): LogprobEntry => [logprob, ids[index] ?? 0, text(ids[index] ?? 0)]);
  return {
    input_token_logprobs: entries(prompt?.ids ?? [], prompt?.logprobs ?? []),
    output_token_logprobs: output,
    output_token_logprobs_length: output.length,
    ...(topCount > 0 && {
      input_top_logprobs: (prompt?.top ?? []).map(ranked),
      output_top_logprobs: logprobs.map(({ top }) => ranked(top)),
    }),
    ...(tokenIds.length > 0 && {
      input_token_ids_logprobs: (prompt?.chosen ?? []).map(chosen),
      output_token_ids_logprobs: logprobs.map((entry) => chosen(entry.chosen)),
    }),
  };
}

function schedulerTimings({ times }: Generation): Record<string, number> {
  return {
    storage_prefetch_wait: 0,
    storage_staging_wait: 0,
    ...(times && times.started > 0 && { forward_entry_time: seconds(times.started) }),
    ...(times && times.prefilled > 0 && { prefill_finished_time: seconds(times.prefilled) }),
    queue_time: times && times.started > 0 ? seconds(times.started - times.queued) : 0,
  };
}

function finalTimings(generation: Generation): Record<string, number> {
  const { receivedAt, firstTokenAt, finishedAt, dispatchedAt, sentAt, ids } = generation;
  const decodeMs = finishedAt - firstTokenAt;
  return {
    request_received_ts: seconds(receivedAt),
    first_token_latency: seconds(firstTokenAt - receivedAt),
    api_server_dispatch_finish_ts: seconds(dispatchedAt),
    ...(sentAt > 0 && { response_sent_to_client_ts: seconds(sentAt) }),
    request_finished_ts: seconds(finishedAt),
    ...(ids.length > 1 && decodeMs > 0 && { decode_throughput: (ids.length - 1) / seconds(decodeMs) }),
  };
}

/** The answer of `/generate` for one sequence, finished or not. The first call notes when it was sent. */
export function nativeAnswer(generation: Generation, style: AnswerStyle): Record<string, unknown> {
  const { plan, finish, ids, cachedTokens, times } = generation;
  const { request } = plan;
  const neverRan = finish?.type === 'abort' && times?.started === 0;
  const isFirst = generation.sentAt === 0;
  const final = finish
    ? { e2e_latency: seconds(generation.finishedAt - generation.receivedAt), ...(style.timings && finalTimings(generation)) }
    : {};
  if (isFirst) generation.sentAt = performance.timeOrigin + performance.now();
  if (neverRan)
    return {
      text: '',
      output_ids: [],
      meta_info: { id: request.rid, finish_reason: { type: 'abort', message: finish.message }, weight_version: 'default', ...final },
    };
  return {
    text: generation.text,
    output_ids: ids,
    ...(plan.withPromptIds && { prompt_token_ids: Array.from(request.promptIds) }),
    meta_info: {
      id: request.rid,
      finish_reason: finish,
      prompt_tokens: request.promptIds.length,
      weight_version: 'default',
      num_retractions: 0,
      ...(style.timings && schedulerTimings(generation)),
      ...logprobFields(generation, style.tokenizer),
      reasoning_tokens: 0,
      completion_tokens: ids.length,
      cached_tokens: cachedTokens,
      ...(finish && { weight_versions: [{ version: 'default', start: 0, end: ids.length }] }),
      cached_tokens_details: cachedTokens > 0 ? { device: cachedTokens, host: 0 } : null,
      ...(request.hiddenStates && { hidden_states: generation.hiddenStates }),
      dp_rank: null,
      ...final,
      ...(isFirst && { response_sent_to_client_ts: seconds(generation.sentAt) }),
    },
  };
}

/** Throws the error a sequence ended with, if it ended with one that has a status. */
export function throwIfFailed({ finish }: Generation): void {
  if (finish?.type !== 'abort' || finish.status_code === null) return;
  throw finish.status_code === 400
    ? HttpError.refused(finish.message)
    : HttpError.withBody(finish.status_code, finish.message, {
        object: 'error',
        message: finish.message,
        type: String(finish.status_code),
        param: null,
        code: finish.status_code,
      });
}
