import { recoveryRows, type BundleManifest } from '../../model/bundle-manifest.ts';
import { ScoringError } from './errors.ts';
import type { ScorableRow } from './signals.ts';

/** Rows as they go to the network's thread, each array [rows, ...]. Which are there depends on the graph's inputs. */
export interface RowBatch {
  readonly rows: number;
  /** Of the tokens to be routed. */
  readonly ids?: Int32Array<ArrayBuffer>;
  /** [rows, hiddenSize] */
  readonly hidden?: Float32Array<ArrayBuffer>;
  /** [rows, logitsSize] */
  readonly logprobs?: Float32Array<ArrayBuffer>;
  /** [rows, 5]: the best tokens, whose LM-head rows are looked up. */
  readonly bestIds?: Int32Array<ArrayBuffer>;
}

type Shape = Pick<BundleManifest, 'inputs' | 'hiddenSize' | 'logitsSize'>;

/** Copies rows into the arrays of a batch. Complete rows only, see {@link isComplete}. */
export function packRows(rows: readonly ScorableRow[], { inputs, hiddenSize, logitsSize }: Shape): RowBatch {
  const takes = (input: Shape['inputs'][number]): boolean => inputs.includes(input);
  const batch = {
    rows: rows.length,
    ...(takes('embedding') && { ids: new Int32Array(rows.length) }),
    ...(takes('hidden') && { hidden: new Float32Array(rows.length * hiddenSize) }),
    ...(takes('logprobs') && { logprobs: new Float32Array(rows.length * logitsSize) }),
    ...(takes('lm_head') && { bestIds: new Int32Array(rows.length * recoveryRows) }),
  } satisfies RowBatch;
  for (const [index, { id, hidden, top }] of rows.entries()) {
    if (batch.ids) batch.ids[index] = id;
    if (hidden) batch.hidden?.set(hidden, index * hiddenSize);
    if (!top) continue;
    batch.logprobs?.set(top.logprobs.subarray(0, logitsSize), index * logitsSize);
    batch.bestIds?.set(top.ids.subarray(0, recoveryRows), index * recoveryRows);
  }
  return batch;
}

export function buffersOf({ ids, hidden, logprobs, bestIds }: RowBatch): ArrayBuffer[] {
  return [ids, hidden, logprobs, bestIds].flatMap((values) => (values ? [values.buffer] : []));
}

/**
 * Whether a row has what the graph looks at.
 *
 * @throws ScoringError `row_invalid` when what it has is not of this bundle's SLM
 */
export function isComplete({ id, hidden, top }: ScorableRow, { inputs, hiddenSize, logitsSize, slm }: BundleManifest): boolean {
  const refuse = (problem: string): never => {
    throw new ScoringError('row_invalid', `${problem}; the bundle was made for another SLM than the one that is served`);
  };
  if (inputs.includes('hidden')) {
    if (!hidden) return false;
    if (hidden.length !== hiddenSize) refuse(`a hidden state has ${hidden.length} values, the bundle's network takes ${hiddenSize}`);
  }
  if (inputs.includes('logprobs') || inputs.includes('lm_head')) {
    if (!top) return false;
    if (top.ids.length < logitsSize) refuse(`a distribution has ${top.ids.length} entries, the bundle's network takes ${logitsSize}`);
  }
  const looked = [id, ...(inputs.includes('lm_head') && top ? top.ids.subarray(0, recoveryRows) : [])];
  const outside = looked.find((token) => token < 0 || token >= slm.vocabSize);
  if (outside !== undefined) refuse(`token ${outside} is outside the bundle's vocabulary of ${slm.vocabSize}`);
  return true;
}
