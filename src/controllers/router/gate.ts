import type { GateSpec } from '../../api/r2rrouter-release.ts';
import { routerReasons } from '../../api/r2rrouter-status.ts';
import type { RouterBundleRecord } from '../../api/r2rrouter-status.ts';

export interface GateDecision {
  readonly passed: boolean;
  /** CamelCase, usable as a condition's reason. */
  readonly reason: string;
  readonly message: string;
}

type Measured = Pick<RouterBundleRecord, 'recall' | 'positiveRate' | 'comparedWith'>;

/**
 * Whether a router may be rolled out: a chain of checks, of which the first that fails decides. One that was published and never measured
 * passes when nothing is asked of it beyond the default, because its source vouches for it.
 *
 * @param published - it is a checkpoint from elsewhere, for which there are no test rows
 */
export function gateDecision(gate: GateSpec, measured: Measured, published: boolean): GateDecision {
  const refuse = (reason: string, message: string): GateDecision => ({ passed: false, reason, message });
  const { recall, positiveRate, comparedWith } = measured;
  if (recall === undefined || positiveRate === undefined) {
    if (published && gate.maxPositiveRate === undefined && !gate.betterThanCurrent) {
      return { passed: true, reason: routerReasons.gatePassed, message: 'a published checkpoint; there are no test rows to measure it on' };
    }
    return refuse(
      routerReasons.notMeasured,
      'gate: recall and positive rate were not measured, for lack of test rows; remove what the gate asks for',
    );
  }
  if (recall < gate.minRecall) {
    return refuse(
      routerReasons.recallTooLow,
      `gate.minRecall: recall is ${percent(recall)}, below ${percent(gate.minRecall)}; label more questions, or lower it`,
    );
  }
  if (gate.maxPositiveRate !== undefined && positiveRate > gate.maxPositiveRate) {
    const found = `${percent(positiveRate)} of the tokens go to the LLM, above ${percent(gate.maxPositiveRate)}`;
    return refuse(routerReasons.positiveRateTooHigh, `gate.maxPositiveRate: ${found}; label more questions, or raise it`);
  }
  if (gate.betterThanCurrent && comparedWith?.minRecall !== undefined && comparedWith.minRecall !== gate.minRecall) {
    const found = `the bundle in use was measured at a recall of ${comparedWith.minRecall}, and gate.minRecall is ${gate.minRecall} now`;
    const fix = `they are compared anew with the next bundle, which another training.seed makes; or set minRecall to ${comparedWith.minRecall} again, or betterThanCurrent to false`;
    return refuse(routerReasons.comparedAtAnotherRecall, `gate.betterThanCurrent: ${found}; ${fix}`);
  }
  // A bundle that misses the recall is no measure for one that reaches it.
  if (gate.betterThanCurrent && comparedWith && comparedWith.recall >= gate.minRecall && positiveRate >= comparedWith.positiveRate) {
    const found = `it sends ${percent(positiveRate)} of the tokens to the LLM, the bundle in use ${percent(comparedWith.positiveRate)}`;
    return refuse(routerReasons.notBetter, `gate.betterThanCurrent: ${found}; the bundle in use stays`);
  }
  return {
    passed: true,
    reason: routerReasons.gatePassed,
    message: `recall ${percent(recall)}, ${percent(positiveRate)} of the tokens to the LLM`,
  };
}

/** `96.1%` */
export function percent(share: number): string {
  return `${(share * 100).toFixed(1)}%`;
}
