import { PipelineError } from '../errors.ts';

/**
 * Refuses a step in which more verdicts are missing than allowed: its verifier is not fit for it. Once that many are, whatever it says of the
 * others changes nothing.
 *
 * @param comparisons of the whole step, judged or not yet
 * @param example what it said instead
 * @throws PipelineError `PIPELINE_VERIFIER`
 */
export function checkUnknownShare(unknown: number, comparisons: number, maxUnknownShare: number, example?: string): void {
  if (unknown <= comparisons * maxUnknownShare) return;
  const said = example === undefined ? '' : `; it answered, for example, ${JSON.stringify(example.slice(0, 200))}`;
  const problem = `the verifier gave neither 0 nor 1 for ${unknown} of ${comparisons} comparisons so far, allowed are ${maxUnknownShare * 100} %${said}`;
  const fix = 'use a model that follows instructions, another prompt, or a greater maxUnknownShare';
  throw new PipelineError('PIPELINE_VERIFIER', problem, fix, { field: 'params.maxUnknownShare' });
}
