import { splitNames, type SplitName } from '../tables.ts';
import type { StepManifest } from '../workspace/manifest.ts';

export const labelClasses = ['identical', 'neutral', 'divergent', 'unknown'] as const;
/** What the SLM's token is beside the LLM's: the same, another that says the same, another that changes the meaning, or not known. */
export type LabelClass = (typeof labelClasses)[number];

/** Numbers of rows, and of the questions that they are of. Rows that are not to be trained on are in `rows` only. */
export type ClassCounts = Readonly<Record<LabelClass | 'rows' | 'questions', number>>;

/** How often the SLM says the same as the LLM in a label set. */
export interface Distribution {
  /** Of the construct step. */
  readonly hash: string;
  /** Of the data. */
  readonly digest: string;
  readonly all: ClassCounts;
  readonly splits: Readonly<Record<SplitName, ClassCounts>>;
}

/** @param manifest of a construct step */
export function distributionOf({ hash, digest, counts }: StepManifest): Distribution {
  const countsOf = (prefix: string): ClassCounts => {
    const count = (name: string): number => counts[`${prefix}${name}`] ?? 0;
    return {
      identical: count('identical'),
      neutral: count('neutral'),
      divergent: count('divergent'),
      unknown: count('unknown'),
      rows: count('rows'),
      questions: count('questions'),
    };
  };
  const [train, validation, test] = splitNames.map((split) => countsOf(`${split}.`)) as [ClassCounts, ClassCounts, ClassCounts];
  return { hash, digest, all: countsOf(''), splits: { train, validation, test } };
}

/** A line for all and for each split: questions, and tokens by class with their shares. */
export function distributionText({ hash, all, splits }: Distribution): string {
  const head = ['', 'questions', 'tokens', ...labelClasses];
  const line = (name: string, counts: ClassCounts): readonly string[] => {
    const judged = labelClasses.reduce((sum, each) => sum + counts[each], 0);
    const share = (each: LabelClass): string =>
      `${grouped(counts[each])} (${judged > 0 ? ((100 * counts[each]) / judged).toFixed(1) : '0.0'} %)`;
    return [name, grouped(counts.questions), grouped(judged), ...labelClasses.map(share)];
  };
  const lines = [head, line('all', all), ...splitNames.map((split) => line(split, splits[split]))];
  const widths = head.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0)));
  const aligned = lines.map((cells) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
  return [`Label set ${hash}`, '', ...aligned, ''].join('\n');
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}
