import type { DatasetEntry } from '../params.ts';
import { textOf, turnOf, type RowPlace, type SourceRow } from './cells.ts';
import { passes } from './filters.ts';
import { seededOrder } from './shuffle.ts';
import { checkTemplate, defaultTemplates, fillTemplate, letterOf, letteredOptions } from './templates.ts';

export interface Question {
  /** `<data set>/<item>` */
  readonly id: string;
  readonly question: string;
  /** '' where the data set has none. */
  readonly answer: string;
}

/** What a row gives: a question, or why it gives none. */
export type Conversion = Question | 'filtered' | 'empty';

/** Columns that an entry names. */
export function columnsOf({ question, idField, answerField, filter }: DatasetEntry): readonly string[] {
  const asked =
    'field' in question
      ? [question.field]
      : 'conversationField' in question
        ? [question.conversationField]
        : [question.multipleChoice.questionField, ...question.multipleChoice.optionFields];
  const others = [idField, answerField, filter && 'field' in filter ? filter.field : undefined];
  return [...new Set([...asked, ...others.filter((column) => column !== undefined)])];
}

/** @throws PipelineError `PIPELINE_PARAMS` for a template that nothing could fill */
export function checkEntry(entry: DatasetEntry, field: string): void {
  if (entry.template !== undefined) checkTemplate(entry.template, 'multipleChoice' in entry.question, `${field}.template`);
}

/**
 * Makes a question of a row. It depends on the row, its number and the entry alone.
 *
 * @throws PipelineError `PIPELINE_COLUMN` for a cell of another kind
 */
export function convertRow(entry: DatasetEntry, row: SourceRow, place: RowPlace): Conversion {
  const { question: shape, name } = entry;
  const asked =
    'field' in shape
      ? textOf(row, shape.field, place)
      : 'conversationField' in shape
        ? turnOf(row, shape.conversationField, shape.role, place)
        : textOf(row, shape.multipleChoice.questionField, place);
  if (!passes(entry.filter, row, asked)) return 'filtered';
  if (asked.trim() === '') return 'empty';
  const item = entry.idField === undefined ? '' : textOf(row, entry.idField, place).trim();
  const id = `${name}/${item === '' ? place.row : item}`;
  const given = entry.answerField === undefined ? '' : textOf(row, entry.answerField, place);
  if (!('multipleChoice' in shape))
    return { id, question: fillTemplate(entry.template ?? defaultTemplates.open, { question: asked }), answer: given };
  const { optionFields, seed } = shape.multipleChoice;
  const options = optionFields.map((column) => textOf(row, column, place).trim());
  if (options.includes('')) return 'empty';
  const order = seededOrder(options.length, seed, id);
  const shown = letteredOptions(order.map((index) => options[index] ?? ''));
  const question = fillTemplate(entry.template ?? defaultTemplates.multipleChoice, { question: asked, options: shown });
  return { id, question, answer: given === '' ? letterOf(order.indexOf(0)) : given };
}
