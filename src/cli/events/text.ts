import { ageText } from '../text-table.ts';
import { cell, columns, headings, printable, shortened, wrapped, type Screen } from '../view/layout.ts';
import type { EventView } from './event-view.ts';

/** Events with their messages below them, broken to the screen's width; `wide`: one line each. */
export function eventLines(events: readonly EventView[], now: Date, { width, paint, terminal }: Screen, wide: boolean): readonly string[] {
  const head = wide ? headings('LAST', 'TYPE', 'REASON', 'OBJECT', 'MESSAGE') : headings('LAST', 'TYPE', 'REASON', 'OBJECT');
  const objectWidth = (event: EventView): number =>
    Math.max(20, width - lastText(event, now).length - event.type.length - event.reason.length - 6);
  const rows = events.map((event) => [
    cell(lastText(event, now)),
    cell(event.type, event.type === 'Warning' ? 'bad' : undefined),
    cell(event.reason),
    cell(wide || !terminal ? objectText(event) : shortened(objectText(event), objectWidth(event))),
    ...(wide ? [cell(printable(event.message).replaceAll('\n', ' '))] : []),
  ]);
  if (wide) return columns([head, ...rows], paint);
  // no common columns: one long reason must not push all objects out of the screen
  return rows.flatMap((row, index) => [
    row.map(({ text, tone }) => paint(text, tone)).join('  '),
    ...wrapped(events[index]?.message ?? '', width - 4).map((line) => paint(`    ${line}`, 'faint')),
  ]);
}

function objectText({ kind, name }: EventView): string {
  return `${kind}/${name}`;
}

/** `3m`, or `3m (x5 over 2h)` for what was seen several times. */
function lastText({ count, firstAt, lastAt }: EventView, now: Date): string {
  const last = ageText(lastAt, now);
  return count > 1 ? `${last} (x${count} over ${ageText(firstAt, now)})` : last;
}
