import { dominating, lateShareAt, meanOverSeeds, type Row, type Run } from './curve.ts';

export const ownPolicy = 'r2r';
export const scalingBaselines = ['hpa-queue', 'kpa-knative', 'kpa-aibrix'] as const;
/** On these, ours has at most this share of each autoscaling baseline's late tokens at equal GPU-hours. */
const halved = { workloads: ['bursty', 'diurnal'], share: 0.5 } as const;

export interface Verdict {
  /** By the means over all seeds: with one of them a single late window of 5 s may decide. */
  readonly met: boolean;
  readonly text: string;
  /** The seeds with which it is not met when they are looked at alone. */
  readonly missedWith: readonly number[];
}

type Judged = Omit<Verdict, 'missedWith'>;

/** What was aimed at, for each workload that was run. */
export function verdicts(runs: readonly Run[]): readonly Verdict[] {
  const seeds = [...new Set(runs.map(({ seed }) => seed))];
  const alone = seeds.map((seed) => ({ seed, judged: judge(runs.filter((run) => run.seed === seed)) }));
  return judge(meanOverSeeds(runs)).map((verdict, index) => ({
    ...verdict,
    missedWith: alone.filter(({ judged }) => judged[index]?.met === false).map(({ seed }) => seed),
  }));
}

function judge(rows: readonly Row[]): readonly Judged[] {
  const workloads = [...new Set(rows.map(({ workload }) => workload))];
  return workloads.flatMap((workload) => {
    const here = rows.filter((row) => row.workload === workload);
    const own = here.find(({ policy, standard }) => policy === ownPolicy && standard === true);
    if (!own) return [];
    const better = dominating(
      own,
      here.filter(({ policy }) => policy !== ownPolicy),
    );
    const names = better.map(({ policy, setting }) => `${policy} ${setting}`).join(', ');
    const never = { met: better.length === 0, text: `${workload}: ${better.length === 0 ? 'dominated by none' : `dominated by ${names}`}` };
    const equal = (halved.workloads as readonly string[]).includes(workload)
      ? scalingBaselines.map((policy) => against(own, policy, here))
      : [];
    return [never, ...equal];
  });
}

function against(own: Row, policy: string, rows: readonly Row[]): Judged {
  const theirs = lateShareAt(
    own.gpuHours,
    rows.filter((row) => row.policy === policy),
  );
  const spent = `${own.workload}: at ${own.gpuHours.toFixed(1)} GPU-hours`;
  if (theirs === undefined) return { met: true, text: `${spent} ${percent(own.lateShare)} late; ${policy} cannot do with so few` };
  const share = theirs === 0 ? (own.lateShare === 0 ? 0 : Infinity) : own.lateShare / theirs;
  const times = share === Infinity ? '' : ` (${share.toFixed(2)} of it)`;
  return { met: share <= halved.share, text: `${spent} ${percent(own.lateShare)} late against ${percent(theirs)} of ${policy}${times}` };
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.001 ? 4 : 2)} %`;
}
