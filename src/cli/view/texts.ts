import type { Condition } from '../../api/r2rdeployment-status.ts';
import { conditionTone } from './condition-tone.ts';
import { cell, columns, headings, wrapped, type Cell, type Screen } from './layout.ts';
import { ageText } from '../text-table.ts';

/** How long something has been there; `-` where nobody says since when. */
export function ageOf(since: string | undefined, now: Date): string {
  return since === undefined ? '-' : ageText(since, now);
}

/** `370`, `12,000`. */
export function countText(count: number): string {
  return count.toLocaleString('en-GB');
}

export function titleLines(title: string, { width, paint }: Screen): readonly string[] {
  return wrapped(title, width).map((line) => paint(line, 'strong'));
}

/** Names and values, aligned; longer values go on below. Those that are undefined are left out. */
export function factLines(
  facts: readonly (readonly [name: string, value: Cell | string | undefined])[],
  { width, paint }: Screen,
): readonly string[] {
  const told = facts.filter((fact): fact is readonly [string, Cell | string] => fact[1] !== undefined);
  const nameWidth = Math.max(0, ...told.map(([name]) => name.length));
  const lead = ' '.repeat(nameWidth + 4);
  return told.flatMap(([name, value]) => {
    const { text, tone } = typeof value === 'string' ? cell(value) : value;
    const [first = '', ...more] = wrapped(text, width - lead.length);
    return [`  ${paint(name.padEnd(nameWidth), 'faint')}  ${paint(first, tone)}`, ...more.map((line) => lead + paint(line, tone))];
  });
}

/** Conditions, with the messages of those that are not as they should be. */
export function conditionLines(conditions: readonly Condition[], now: Date, { width, paint }: Screen): readonly string[] {
  const rows = conditions.map(({ type, status, reason, lastTransitionTime }) => [
    cell(type),
    cell(status, conditionTone({ type, status })),
    cell(reason),
    cell(ageOf(lastTransitionTime, now)),
  ]);
  const lines = columns([headings('CONDITION', 'STATUS', 'REASON', 'SINCE'), ...rows], paint, '  ');
  return lines.flatMap((line, index) => {
    const condition = conditions[index - 1];
    const quiet = !condition || conditionTone(condition) === 'good' || condition.type === 'Ready';
    return quiet ? [line] : [line, ...wrapped(condition.message, width - 4).map((each) => paint(`    ${each}`, 'faint'))];
  });
}

/** `45s`, `12m`, `5h`, `3d`: how long something takes. */
export function durationText(seconds: number): string {
  const start = new Date(0);
  return ageText(start.toISOString(), new Date(seconds * 1000));
}

/** What a command could not do, below what it could. */
export function noteLines(notes: readonly string[], { width, paint }: Screen): readonly string[] {
  return notes.flatMap((note) => wrapped(`note: ${note}`, width).map((line) => paint(line, 'busy')));
}
