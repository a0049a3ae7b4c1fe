import { PipelineError } from '../errors.ts';

export interface Judgements {
  readonly divergent: number;
  readonly neutral: number;
  readonly unknown: number;
}

/** Standard deviations above the allowed share from which on bad luck is no explanation. */
const deviations = 3;

/**
 * Refuses a part in which so many verdicts are missing that it can't be chance: the verifier's answers are of no use, and it would be a waste to
 * ask it the rest. A part has few verdicts, so this lets pass what {@link checkUnknownShare} may refuse in the end.
 *
 * @throws PipelineError `PIPELINE_VERIFIER`
 */
export function checkPart(judgements: Judgements, maxUnknownShare: number, example: string): void {
  const all = total(judgements);
  const expected = all * maxUnknownShare;
  if (judgements.unknown > expected + deviations * Math.sqrt(expected * (1 - maxUnknownShare)) + 1)
    throw refused(judgements, maxUnknownShare, example);
}

/** Refuses a step in which more verdicts are missing than allowed. @throws PipelineError `PIPELINE_VERIFIER` */
export function checkUnknownShare(judgements: Judgements, maxUnknownShare: number): void {
  if (judgements.unknown > total(judgements) * maxUnknownShare) throw refused(judgements, maxUnknownShare, undefined);
}

function total({ divergent, neutral, unknown }: Judgements): number {
  return divergent + neutral + unknown;
}

function refused(judgements: Judgements, maxUnknownShare: number, example: string | undefined): PipelineError {
  const said = example === undefined ? '' : `; it answered, for example, ${JSON.stringify(example.slice(0, 200))}`;
  const problem = `the verifier gave neither 0 nor 1 for ${judgements.unknown} of ${total(judgements)} comparisons, allowed are ${maxUnknownShare * 100} %${said}`;
  const fix = 'use a model that follows instructions, another prompt, or a greater maxUnknownShare';
  return new PipelineError('PIPELINE_VERIFIER', problem, fix, { field: 'params.maxUnknownShare' });
}
