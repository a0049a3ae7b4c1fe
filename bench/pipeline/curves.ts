import type { CurvePoint } from './results.ts';

/** Points of a curve with what became of each problem at them: whether it was solved. All name the problems in the same order. */
export interface SolvedPoint extends CurvePoint {
  readonly solved: readonly boolean[];
}

/** Both curves at one share of LLM tokens. */
export interface Comparison {
  readonly llmShare: number;
  readonly network: number;
  readonly entropy: number;
}

/** A comparison of the same problems, with the standard error of the difference. */
export interface PairedComparison extends Comparison {
  readonly standardError: number;
}

/**
 * What can be had at each share of LLM tokens: by a threshold, or by two, each for a part of the requests (a request may bring its own). It is the
 * upper hull of the points, as that of an ROC curve is (Provost and Fawcett 2001): a threshold whose point lies below the line between two others
 * is one that nobody need choose. From left to right.
 */
export function frontier(points: readonly CurvePoint[]): readonly CurvePoint[] {
  const sorted = [...points].sort((a, b) => a.llmShare - b.llmShare || b.accuracy - a.accuracy);
  const hull: CurvePoint[] = [];
  for (const point of sorted) {
    if (point.accuracy <= (hull.at(-1)?.accuracy ?? -1)) continue;
    while (hull.length > 1 && !turnsDown(hull.at(-2), hull.at(-1), point)) hull.pop();
    hull.push(point);
  }
  return hull;
}

/** A curve at a share between two of its points, straight in between. Beyond its last point it stays. */
export function accuracyAt(share: number, curve: readonly CurvePoint[]): number {
  const { before, after, weight } = between(share, curve);
  return before.accuracy + weight * (after.accuracy - before.accuracy);
}

/**
 * Both frontiers at each corner of either and at `largest`: as they are straight in between, one that is higher in all of these is so everywhere up to
 * `largest`. Where both begin, at the SLM alone, they are one.
 */
export function compareFrontiers(neural: readonly CurvePoint[], entropy: readonly CurvePoint[], largest: number): readonly Comparison[] {
  const [network, rule] = [frontier(neural), frontier(entropy)];
  return sharesOf([...network, ...rule, { llmShare: largest }], largest).map((llmShare) => ({
    llmShare,
    network: accuracyAt(llmShare, network),
    entropy: accuracyAt(llmShare, rule),
  }));
}

/** The measured points themselves, problem by problem: at the share of each point of either curve, straight between the points of the other. */
export function compareSolved(
  neural: readonly SolvedPoint[],
  entropy: readonly SolvedPoint[],
  largest: number,
): readonly PairedComparison[] {
  return sharesOf([...neural, ...entropy], largest).map((llmShare) => {
    const [network, rule] = [solvedAt(llmShare, neural), solvedAt(llmShare, entropy)];
    const differences = network.map((share, problem) => share - (rule[problem] ?? 0));
    const average = mean(differences);
    const variance = mean(differences.map((each) => (each - average) ** 2));
    return { llmShare, network: mean(network), entropy: mean(rule), standardError: Math.sqrt(variance / differences.length) };
  });
}

/** How surely each problem is solved by a mix of the two thresholds around a share. */
function solvedAt(share: number, curve: readonly SolvedPoint[]): readonly number[] {
  const { before, after, weight } = between(share, curve);
  return before.solved.map((solved, problem) => (1 - weight) * Number(solved) + weight * Number(after.solved[problem]));
}

function between<P extends CurvePoint>(
  share: number,
  curve: readonly P[],
): { readonly before: P; readonly after: P; readonly weight: number } {
  const points = [...curve].sort((a, b) => a.llmShare - b.llmShare);
  const next = points.findIndex(({ llmShare }) => llmShare >= share);
  const [before, after] = [points.at(next < 0 ? -1 : Math.max(0, next - 1)), points.at(next)];
  if (!before || !after) throw new Error('a curve has at least one point');
  const width = after.llmShare - before.llmShare;
  return { before, after, weight: width === 0 ? 1 : (share - before.llmShare) / width };
}

function sharesOf(points: readonly Pick<CurvePoint, 'llmShare'>[], largest: number): readonly number[] {
  return [...new Set(points.map(({ llmShare }) => llmShare))].filter((share) => share > 0 && share <= largest).sort((a, b) => a - b);
}

/** Whether `middle` lies above the line from `left` to `right`. */
function turnsDown(left: CurvePoint | undefined, middle: CurvePoint | undefined, right: CurvePoint): boolean {
  if (!left || !middle) return true;
  return (
    (middle.accuracy - left.accuracy) * (right.llmShare - left.llmShare) >
    (right.accuracy - left.accuracy) * (middle.llmShare - left.llmShare)
  );
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
