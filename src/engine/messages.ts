import type { Ranked, TokenLogprobs } from './logits.ts';
import type { SamplingParams } from './sampling-params.ts';
import type { SchedulerTotals } from './scheduler-statistics.ts';

/** One sequence to generate, as the scheduler takes it. */
export interface SequenceRequest {
  readonly rid: string;
  readonly promptIds: Int32Array;
  readonly sampling: SamplingParams;
  /** Whether tokens are reported as they come; else every 50 and at the end. */
  readonly stream: boolean;
  readonly logprobs: LogprobRequest | undefined;
  readonly hiddenStates: boolean;
  /** Only requests of one key share cached prefixes. @default '' */
  readonly cacheKey?: string;
}

export interface LogprobRequest {
  /** First prompt position whose log-probability is wanted; -1: none of the prompt. */
  readonly startLength: number;
  readonly topCount: number;
  readonly tokenIds: readonly number[];
}

export type FinishReason =
  | { readonly type: 'stop'; readonly matched: number | string }
  | { readonly type: 'length'; readonly length: number }
  | { readonly type: 'abort'; readonly message: string; readonly status_code: number | null; readonly err_type: string | null };

/** Log-probabilities of prompt tokens; entry i belongs to prompt position startLength + i, and the first has none. */
export interface PromptLogprobs {
  readonly ids: readonly number[];
  readonly logprobs: readonly (number | null)[];
  readonly top: readonly (Ranked | null)[];
  readonly chosen: readonly (readonly number[] | null)[];
}

/** What is new about a sequence since its last report. */
export interface SequenceOutput {
  readonly rid: string;
  readonly ids: readonly number[];
  readonly finish: FinishReason | null;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
  /** Sent once, with the first report. */
  readonly promptLogprobs: PromptLogprobs | undefined;
  readonly logprobs: readonly TokenLogprobs[];
  /** Hidden states: of the prompt pass first (several rows), then one row a token. */
  readonly hiddenStates: readonly Float32Array[];
  readonly times: SequenceTimes;
}

/** Milliseconds since the epoch. */
export interface SequenceTimes {
  readonly queued: number;
  readonly started: number;
  readonly prefilled: number;
}

/** A snapshot of the scheduler. */
export interface SchedulerState extends SchedulerTotals {
  readonly running: number;
  readonly waiting: number;
  /** Prompt tokens of waiting sequences. */
  readonly waitingTokens: number;
  /** Pool tokens that running sequences hold. */
  readonly usedTokens: number;
  /** Pool tokens that only the prefix cache holds. */
  readonly evictableTokens: number;
}

export type WorkerRequest =
  | { readonly type: 'add'; readonly sequences: readonly SequenceRequest[] }
  | { readonly type: 'abort'; readonly rid: string }
  | { readonly type: 'abort-all' }
  | { readonly type: 'flush'; readonly call: number }
  | { readonly type: 'close' };

export type WorkerReply =
  | { readonly type: 'ready'; readonly facts: ModelFacts }
  | { readonly type: 'refused'; readonly message: string }
  | { readonly type: 'outputs'; readonly outputs: readonly SequenceOutput[]; readonly state: SchedulerState }
  | { readonly type: 'flushed'; readonly call: number; readonly done: boolean; readonly state: SchedulerState };

/** What the HTTP side must know of the loaded model. */
export interface ModelFacts {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly parameterCount: number;
  readonly weightBytes: number;
  readonly poolTokens: number;
  readonly poolBytes: number;
  /** Seconds it took to load the model. */
  readonly loadSeconds: number;
}
