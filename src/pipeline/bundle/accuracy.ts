import { PipelineError } from '../errors.ts';
import { rowKey } from './feature-rows.ts';
import type { TrainerCheck } from './trained.ts';

/** So far may a probability of fp32 be from PyTorch's, whose sums have another order. */
export const maxProbabilityDifference = 1e-4;

export interface Accuracy {
  readonly rows: number;
  readonly maxDifference: number;
}

/**
 * Compares the bundle's fp32 network with what PyTorch said of the same rows.
 *
 * @param probabilityOf by the row's key
 * @throws PipelineError `PIPELINE_ACCURACY` naming the row and both values; `PIPELINE_INPUT_MISSING` when the label set lacks a row
 */
export function checkAccuracy({ rows }: TrainerCheck, probabilityOf: (key: string) => number | undefined, maxSpread: number): Accuracy {
  let worst = { key: '', expected: 0, found: 0, difference: 0 };
  for (const { dataId, tokenId, probability: expected } of rows) {
    const key = rowKey(dataId, tokenId);
    const found = probabilityOf(key);
    if (found === undefined) {
      const problem = `check.json has the row data_id ${dataId}, token_id ${tokenId}, which is not among the test rows`;
      throw new PipelineError('PIPELINE_INPUT_MISSING', problem, 'train on this label set again', { step: 'train', field: 'check.json' });
    }
    const difference = Math.abs(found - expected);
    // a NaN is farther than anything
    if (!(difference <= worst.difference)) worst = { key, expected, found, difference };
  }
  if (worst.difference <= maxProbabilityDifference) return { rows: rows.length, maxDifference: worst.difference };
  const [dataId, tokenId] = worst.key.split('/');
  const problem = `the bundle's network gives the row data_id ${dataId}, token_id ${tokenId} the probability ${worst.found}, PyTorch gave it ${worst.expected}; at most ${maxProbabilityDifference} may lie between them`;
  const fix =
    maxSpread > 1
      ? `construct the label set again with this SLM: its logits are not those of its hidden states (they disagree by up to ${maxSpread.toPrecision(3)})`
      : 'train again with the trainer of this version; if it stays, report it with the checkpoint';
  throw new PipelineError('PIPELINE_ACCURACY', problem, fix, { field: 'networks.fp32' });
}
