import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { percent, type Verdict } from './aims.ts';
import { frontier, meanOverSeeds, type Row, type Run } from './curve.ts';
import { timelineSvg, tradeOffSvg } from './plots.ts';
import type { Moment } from './simulation.ts';

const root = join(import.meta.dirname, '..', '..');

/** bench/results/autoscaler.json */
export interface AutoscalerResults {
  readonly commit: string;
  readonly seeds: readonly number[];
  readonly verdicts: readonly Verdict[];
  /** Means over the seeds. */
  readonly rows: readonly Row[];
  readonly runs: readonly Run[];
}

/** Of each policy the standard setting, or all that no other of its own beats. */
export function table(rows: readonly Row[]): string {
  const policies = [...new Set(rows.map(({ policy }) => policy))];
  const shown = policies.flatMap((policy) => {
    const own = rows.filter((row) => row.policy === policy);
    return own.some(({ standard }) => standard) ? own.filter(({ standard }) => standard) : thinned(frontier(own));
  });
  const lines = shown.map(({ policy, setting, lateShare, slowShare, gpuHours, changes }) =>
    [
      policy.padEnd(13),
      String(Math.round(setting * 10) / 10).padStart(7),
      percent(lateShare).padStart(10),
      percent(slowShare).padStart(10),
      gpuHours.toFixed(1).padStart(10),
      changes.toFixed(0).padStart(8),
    ].join(' '),
  );
  const header = ['policy'.padEnd(13), 'setting', '      late', '      slow', ' GPU-hours', ' changes'].join(' ');
  return [header, ...lines].join('\n');
}

/** Some five of them, first and last included. */
function thinned<T>(points: readonly T[]): readonly T[] {
  const step = Math.max(1, (points.length - 1) / 4);
  return points.filter((_, index) => Math.round(Math.round(index / step) * step) === index);
}

export function writeResults(seeds: readonly number[], runs: readonly Run[], verdicts: readonly Verdict[]): void {
  const folder = join(root, 'bench', 'results');
  mkdirSync(folder, { recursive: true });
  const results: AutoscalerResults = { commit: commit(), seeds, verdicts, rows: meanOverSeeds(runs), runs };
  writeFileSync(join(folder, 'autoscaler.json'), lineByLine(results));
}

/** JSON with one line for each member of a list. */
function lineByLine(results: AutoscalerResults): string {
  const fields = Object.entries(results).map(([name, value]: [string, unknown]) => {
    const nested = Array.isArray(value) && typeof value[0] === 'object';
    return `  ${JSON.stringify(name)}: ${nested ? `[\n${value.map((each) => `    ${JSON.stringify(each)}`).join(',\n')}\n  ]` : JSON.stringify(value)}`;
  });
  return `{\n${fields.join(',\n')}\n}\n`;
}

/** docs/autoscaling-*.svg, two for a workload. */
export function writePlots(workload: string, rows: readonly Row[], moments: readonly Moment[], capacity: number): void {
  const file = (kind: string): string => join(root, 'docs', `autoscaling-${workload}-${kind}.svg`);
  writeFileSync(file('cost'), tradeOffSvg(workload, rows));
  writeFileSync(file('time'), timelineSvg(workload, moments, capacity));
}

/** What the figures were made from; `+` when files have been changed since. */
function commit(): string {
  const git = (...args: readonly string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  return `${git('rev-parse', '--short=12', 'HEAD')}${git('status', '--porcelain', '--', 'src/autoscaler', 'bench') === '' ? '' : '+'}`;
}
