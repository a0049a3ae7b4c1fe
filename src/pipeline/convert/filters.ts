import type { DatasetEntry } from '../params.ts';
import type { SourceRow } from './cells.ts';

type Filter = NonNullable<DatasetEntry['filter']>;

/** So many characters of the question tell its kind. */
const prefixLength = 10;
/**
 * How upstream tells the kinds of Bespoke-Stratos-17k apart (its dataset_conversion.py): by the first characters of the first user turn. Kept
 * as it is, so that a recipe of upstream's gives the same questions, though the names are the wrong way round: that set's code problems begin
 * "Generate an executable Python function", and its mathematics "Return your final response within \boxed{}".
 */
const bespokePrefixes = { math: 'Generate a', code: 'Return you' } as const;

/** Whether a row is wanted. @param question before any template */
export function passes(filter: Filter | undefined, row: SourceRow, question: string): boolean {
  if (!filter) return true;
  if ('bespoke' in filter) return bespokeKind(question) === filter.bespoke;
  const value = Object.hasOwn(row, filter.field) ? row[filter.field] : undefined;
  // CSV has text only: 5 is equal to '5'
  const equal = (wanted: string | number | boolean): boolean =>
    (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') && String(value) === String(wanted);
  return 'equals' in filter ? equal(filter.equals) : filter.in.some(equal);
}

export function bespokeKind(question: string): 'math' | 'code' | 'qa' {
  const prefix = question.slice(0, prefixLength);
  if (prefix === bespokePrefixes.math) return 'math';
  return prefix === bespokePrefixes.code ? 'code' : 'qa';
}
