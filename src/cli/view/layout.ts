/** Text for a terminal: colours, columns, wrapped sentences. Widths are counted in characters. */

/** What a colour means: as it should be, wrong, under way, or beside the point. */
export type Tone = 'good' | 'bad' | 'busy' | 'faint' | 'strong';

export interface Cell {
  readonly text: string;
  readonly tone?: Tone | undefined;
}

export type Paint = (text: string, tone?: Tone) => string;

const codes: Readonly<Record<Tone, number>> = { good: 32, bad: 31, busy: 33, faint: 2, strong: 1 };

export const plain: Paint = (text) => text;
const coloured: Paint = (text, tone) => (tone === undefined || text === '' ? text : `\x1b[${codes[tone]}m${text}\x1b[0m`);

/** How wide a text may be, and its colours. */
export interface Screen {
  readonly width: number;
  readonly paint: Paint;
  /** Whether it can be cleared and written again. */
  readonly terminal: boolean;
}

/** Below this lines are broken as on a terminal of this width. */
const narrowest = 80;

/** Colours only on a terminal, and not where NO_COLOR (https://no-color.org) is set. */
export function screenOf(
  stream: { readonly isTTY?: boolean; readonly columns?: number },
  environment: Readonly<Record<string, string | undefined>>,
): Screen {
  const terminal = stream.isTTY === true;
  const colours = terminal && !environment.NO_COLOR && environment.TERM !== 'dumb';
  return { width: Math.max(narrowest, (terminal && stream.columns) || narrowest), paint: colours ? coloured : plain, terminal };
}

/** Lines of at most `width` characters, broken between words; a word that is longer keeps its line to itself. */
export function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const paragraph of printable(text).split('\n')) {
    let line = '';
    for (const word of paragraph.split(' ').filter((each) => each !== '')) {
      if (line === '') line = word;
      else if (line.length + 1 + word.length <= width) line += ` ${word}`;
      else {
        lines.push(line);
        line = word;
      }
    }
    if (line !== '') lines.push(line);
  }
  return lines;
}

/** Text of the cluster must not move the cursor or change colours. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- those are what is looked for
  return text.replace(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/g, ' ');
}

/** Rows with their columns aligned, two spaces apart. */
export function columns(rows: readonly (readonly Cell[])[], paint: Paint, indent = ''): readonly string[] {
  const count = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, column) => Math.max(0, ...rows.map((row) => row[column]?.text.length ?? 0)));
  return rows.map((row) => {
    const filled = row.findLastIndex(({ text }) => text !== '');
    const cells = row
      .slice(0, filled + 1)
      .map(({ text, tone }, column) => paint(text, tone) + ' '.repeat(column === filled ? 0 : (widths[column] ?? 0) - text.length));
    return indent + cells.join('  ');
  });
}

/** How wide {@link columns} gets. */
export function columnsWidth(rows: readonly (readonly Cell[])[]): number {
  return Math.max(0, ...columns(rows, plain).map((line) => line.length));
}

/** The end of a name that is too long: there its difference from its neighbours is. */
export function shortened(name: string, width: number): string {
  return name.length <= width ? name : `…${name.slice(name.length - width + 1)}`;
}

export function cell(text: string, tone?: Tone): Cell {
  return { text: printable(text), ...(tone && { tone }) };
}

/** Headings, faint. */
export function headings(...names: readonly string[]): readonly Cell[] {
  return names.map((name) => cell(name, 'faint'));
}
