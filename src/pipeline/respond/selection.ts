import { PipelineError } from '../errors.ts';
import type { RespondParams } from '../params.ts';
import type { PartPlan, StepReader } from '../step.ts';
import { questionsTable } from '../tables.ts';

/** Questions in a part: few enough that several parts are under way at once, many enough that there are not too many files. */
const questionsPerPart = 8;

export const responseTables = ['finished', 'unfinished'] as const;

/**
 * The questions that are asked, by data_id, ascending: those of `itemIds`, of which the first `numItems`.
 *
 * @throws PipelineError `PIPELINE_PARAMS` when there is no question of one of `itemIds`
 */
export async function selectQuestions(questions: StepReader, { itemIds, numItems }: RespondParams): Promise<readonly number[]> {
  const all = questions.manifest.rows['questions'] ?? 0;
  if (!itemIds) return Array.from({ length: Math.min(all, numItems ?? all) }, (_, dataId) => dataId);
  const missing = new Set(itemIds);
  const found: number[] = [];
  for await (const { data_id: dataId, id } of questions.rows('questions', questionsTable, { columns: ['data_id', 'id'] }))
    if (missing.delete(id)) found.push(dataId);
  if (missing.size > 0) {
    const problem = `itemIds: there is no question ${[...missing].slice(0, 5).join(', ')}`;
    throw new PipelineError('PIPELINE_PARAMS', problem, 'ids are `<data set>/<item>`', { field: 'params.itemIds' });
  }
  return found.slice(0, numItems);
}

/** Eight questions a part, whatever lies between them. */
export function planResponses(selected: readonly number[]): readonly PartPlan[] {
  const parts: PartPlan[] = [];
  for (let at = 0; at < selected.length; at += questionsPerPart) {
    const chosen = selected.slice(at, at + questionsPerPart);
    const [first = 0, last = 0] = [chosen[0], chosen.at(-1)];
    const name = `part-${String(parts.length).padStart(5, '0')}`;
    parts.push({ name, firstQuestion: first, questions: last - first + 1, tables: responseTables });
  }
  return parts;
}

/** Of the questions selected, those of one part. */
export function questionsOf({ firstQuestion, questions }: PartPlan, selected: readonly number[]): readonly number[] {
  return selected.filter((dataId) => dataId >= firstQuestion && dataId < firstQuestion + questions);
}
