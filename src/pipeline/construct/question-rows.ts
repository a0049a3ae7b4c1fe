import { oncePerRun } from '../once-per-run.ts';
import type { ConstructParams } from '../params.ts';
import type { PartPlan, StepWork } from '../step.ts';
import { responsesTable, splitNames, verdictsTable, type SplitName } from '../tables.ts';
import { writerOf } from '../writer.ts';
import { splitQuestions } from './splits.ts';

/** A question of the label set. */
export interface LabelledQuestion {
  readonly dataId: number;
  readonly id: string;
  readonly split: SplitName;
  /** Of the SLM's predictions. */
  readonly rows: number;
  readonly mismatches: number;
}

/**
 * The questions of the label set, in order: those within the limits whose mismatches have been judged. One that has mismatches and no verdicts was
 * too long for an earlier step; its mismatches would pass for matches. Of a text that the SLM wrote only the verdicts tell the mismatches: one
 * without any may have been too long, and is left out.
 */
export const questionsOf = oncePerRun(async (work: StepWork<ConstructParams>): Promise<readonly LabelledQuestion[]> => {
  const { inputs, params } = work;
  const { minDataId = 0, maxDataId = Infinity } = params;
  const ids = new Map<number, string>();
  const wanted = { from: minDataId, to: maxDataId + 1 };
  for await (const { data_id, id } of inputs.of('respond').rows('finished', responsesTable, { ...wanted, columns: ['data_id', 'id'] }))
    ids.set(data_id, id);
  const judged = new Map<number, number>();
  for await (const { data_id } of inputs.of('verify').rows('verdicts', verdictsTable, { ...wanted, columns: ['data_id'] }))
    judged.set(data_id, (judged.get(data_id) ?? 0) + 1);
  const bySlm = writerOf(inputs.of('respond')) === 'slm';

  const found: Omit<LabelledQuestion, 'split'>[] = [];
  for (const { firstQuestion: dataId, counts } of inputs.of('prefill').manifest.parts) {
    const id = ids.get(dataId);
    const rows = counts['rows'] ?? 0;
    const mismatches = (bySlm ? judged.get(dataId) : counts['mismatches']) ?? 0;
    if (id !== undefined && rows > 0 && (judged.has(dataId) || (mismatches === 0 && !bySlm))) found.push({ dataId, id, rows, mismatches });
  }
  const splits = splitQuestions(
    found.map(({ id }) => id),
    params,
  );
  return found.map((question) => ({ ...question, split: splits.get(question.id) ?? 'train' }));
});

/** Questions of one split one after the other, until a part has so many rows. */
export function planLabels(questions: readonly LabelledQuestion[], rowsPerPart: number): readonly PartPlan[] {
  return splitNames.flatMap((split) => {
    const groups: LabelledQuestion[][] = [];
    let rows = rowsPerPart;
    for (const question of questions.filter((each) => each.split === split)) {
      if (rows >= rowsPerPart) {
        groups.push([]);
        rows = 0;
      }
      groups.at(-1)?.push(question);
      rows += question.rows;
    }
    return groups.map((group, index): PartPlan => {
      const [first, last] = [group[0]?.dataId ?? 0, group.at(-1)?.dataId ?? 0];
      const name = `${split}-${padded(index)}-of-${padded(groups.length)}`;
      return { name, firstQuestion: first, questions: last - first + 1, tables: ['labels'] };
    });
  });
}

/** The questions of a part: the others between its first and its last are of other splits. */
export function questionsIn({ name, firstQuestion, questions }: PartPlan, all: readonly LabelledQuestion[]): readonly LabelledQuestion[] {
  const split = name.split('-', 1)[0];
  return all.filter((each) => each.split === split && each.dataId >= firstQuestion && each.dataId < firstQuestion + questions);
}

/** As `datasets` names the files of a split. */
function padded(count: number): string {
  return String(count).padStart(5, '0');
}
