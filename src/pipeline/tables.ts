import type { ComputeType } from '../model/model-config.ts';
import { table, type Row } from './table.ts';

/** The questions of all data sets. */
export const questionsTable = table({
  /** Ordinal in the set: the pipeline's key everywhere. */
  data_id: 'int64',
  /** `<data set>/<item>`, unique. */
  id: 'string',
  question: 'string',
  source: 'string',
  /** Math, Code, QA or what the user calls it; may be empty. */
  type: 'string',
  /** Empty where the data set has none. */
  answer: 'string',
});
export type QuestionRow = Row<typeof questionsTable>;

/** What the LLM, or the SLM where it is the writer, said to a question; `finished` and `unfinished` are two tables of this kind. */
export const responsesTable = table({
  data_id: 'int64',
  id: 'string',
  /** The prompt, template applied. */
  input_text: 'string',
  input_ids: 'int32[]',
  /** As generated, the end token included. */
  output_ids: 'int32[]',
  model_reasoning: 'string',
  model_response: 'string',
  /** Ended by an end token, and what it began to think was thought to the end. */
  is_finished: 'bool',
  /** `stop` or `length` */
  finish: 'string',
  output_tokens: 'int64',
});
export type ResponseRow = Row<typeof responsesTable>;

export interface PrefillShape {
  /** H */
  readonly hiddenSize: number;
  /** What the SLM computes in: its states are kept in it, so nothing is lost. */
  readonly hiddenType: ComputeType;
  /** Entries of each distribution that are kept. */
  readonly topCount: number;
}

export const bytesPerNumber: Readonly<Record<ComputeType, number>> = { bfloat16: 2, float16: 2, float32: 4 };

/** What the SLM predicts at each position of a response. Vectors are little-endian bytes: see vectors.ts. */
export function prefillTable({ hiddenSize, hiddenType, topCount }: PrefillShape) {
  return table({
    data_id: 'int64',
    /** Position in prompt and response together. */
    token_id: 'int64',
    /** The token at `token_id`. */
    real_token: 'int64',
    /** The one at `token_id + 1`. */
    next_token: 'int64',
    /** 0 before the think tag, 1 from it on, 2 from its end on. */
    token_type: 'int64',
    /** What the SLM would say at `token_id + 1`. */
    slm_token: 'int64',
    /** float32 [topCount]: raw logits, descending. */
    top_logits: { bytes: 4 * topCount },
    /** int32 [topCount] */
    top_ids: { bytes: 4 * topCount },
    /** [H] in the SLM's type: what entered the LM head. */
    hidden: { bytes: bytesPerNumber[hiddenType] * hiddenSize },
  });
}
export type PrefillTable = ReturnType<typeof prefillTable>;
export type PrefillRow = Row<PrefillTable>;

/** Where the SLM would have said something else, and how either goes on. */
export const continuationsTable = table({
  data_id: 'int64',
  /** Of the token that differs: one more than that of the row which predicted it. */
  token_id: 'int64',
  real_token: 'int64',
  real_text: 'string',
  pred_small_token: 'int64',
  /** Marked by << >> unless that is switched off. */
  pred_small_text: 'string',
  small_diverge_text: 'string',
  reference_diverge_text: 'string',
  common_context: 'string',
  /** What the LLM says after the SLM's token, without a final end token. */
  small_output_ids: 'int32[]',
  small_finish: 'string',
});
export type ContinuationRow = Row<typeof continuationsTable>;

export const verdictsTable = table({
  data_id: 'int64',
  /** As in the continuations. */
  token_id: 'int64',
  /** 0 neutral, 1 divergent, -1 unknown */
  divergent: 'int64',
  verify_response: 'string',
  attempts: 'int64',
});
export type VerdictRow = Row<typeof verdictsTable>;

/** The label set, as upstream's trainer reads it. */
export const labelsTable = table({
  token_id: 'int64',
  data_id: 'int64',
  /** 0, 1, or -1 where the verifier gave no verdict */
  divergent: 'int64',
  small_token: 'int64',
  /** The token at `token_id`, which the SLM has read, not the one it predicts. */
  real_token: 'int64',
  /** float32 [topCount] */
  small_logits: 'float32[]',
  small_indices: 'int64[]',
  /** float32 [H] */
  small_last_hidden_states: 'float32[]',
  mismatch: 'int64',
  /** 0: not to be trained on */
  mask: 'int64',
});
export type LabelRow = Row<typeof labelsTable>;

export const splitNames = ['train', 'validation', 'test'] as const;
export type SplitName = (typeof splitNames)[number];
