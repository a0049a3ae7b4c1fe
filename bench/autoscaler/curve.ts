import type { Outcome } from './simulation.ts';

/** A line of the results. */
export interface Row extends Outcome {
  readonly workload: string;
  readonly policy: string;
  /** Target utilisation of ours, queue or concurrency target of the others, replicas of a static pool. */
  readonly setting: number;
  /** The setting that a user gets who sets none; null: there is no such thing. */
  readonly standard: boolean | null;
}

/** One of the draws that a line of the results is the mean of. */
export interface Run extends Row {
  readonly seed: number;
}

/** The lines of the results: each policy with each setting over all seeds. A static pool is sized anew for each. */
export function meanOverSeeds(runs: readonly Run[]): readonly Row[] {
  const groups = Map.groupBy(runs, ({ workload, policy, setting }) =>
    policy.startsWith('static') ? `${workload} ${policy}` : `${workload} ${policy} ${setting}`,
  );
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const mean = (key: 'setting' | keyof Outcome): number => group.reduce((sum, run) => sum + run[key], 0) / group.length;
    const { workload, policy, standard } = first;
    return {
      workload,
      policy,
      setting: mean('setting'),
      standard,
      lateShare: mean('lateShare'),
      slowShare: mean('slowShare'),
      gpuHours: mean('gpuHours'),
      changes: mean('changes'),
    };
  });
}

type Point = Pick<Row, 'lateShare' | 'gpuHours'>;

/** Those of a policy's points that no other point of it beats, cheapest first. */
export function frontier<T extends Point>(points: readonly T[]): readonly T[] {
  const sorted = [...points].sort((a, b) => a.gpuHours - b.gpuHours || a.lateShare - b.lateShare);
  const best: T[] = [];
  for (const point of sorted) if (point.lateShare < (best.at(-1)?.lateShare ?? Infinity)) best.push(point);
  return best;
}

const negligible = 1e-6;

/**
 * The late share that a policy would have with so many GPU-hours: between two settings its logarithm is taken as straight, which is less than the straight
 * line between them. undefined: it cannot do with so few.
 */
export function lateShareAt(gpuHours: number, points: readonly Point[]): number | undefined {
  const best = frontier(points);
  const next = best.findIndex((point) => point.gpuHours > gpuHours);
  const before = next < 0 ? best.at(-1) : best[next - 1];
  const after = best[next];
  if (before === undefined) return undefined;
  if (after === undefined) return before.lateShare;
  const part = (gpuHours - before.gpuHours) / (after.gpuHours - before.gpuHours);
  const [from, to] = [Math.log(before.lateShare + negligible), Math.log(after.lateShare + negligible)];
  return Math.max(0, Math.exp(from + part * (to - from)) - negligible);
}

/** Those that have both fewer late tokens and fewer GPU-hours than `own`. */
export function dominating<T extends Point>(own: Point, others: readonly T[]): readonly T[] {
  return others.filter(({ lateShare, gpuHours }) => lateShare < own.lateShare && gpuHours < own.gpuHours);
}
