import { cell, columns, columnsWidth, shortened, wrapped, type Cell, type Screen } from './layout.ts';

/** A line of a tree: a name, its columns, sentences below it, and what hangs on it. */
export interface Branch {
  readonly name: Cell;
  readonly cells?: readonly Cell[];
  readonly notes?: readonly string[];
  readonly branches?: readonly Branch[];
}

interface Line {
  readonly lead: string;
  /** Leads of the lines below that belong to it. */
  readonly below: string;
  readonly branch: Branch;
}

const narrowestName = 24;

/** A tree with its columns aligned. Where it is wider than a terminal, its longest names lose their beginnings. */
export function treeLines(
  top: readonly Branch[],
  head: readonly Cell[],
  { width, paint, terminal }: Screen,
  indent = '  ',
): readonly string[] {
  const lines = top.flatMap((branch) => linesOf(branch, '', ''));
  const rows = (longest: number): readonly (readonly Cell[])[] => [
    head,
    ...lines.map(({ lead, branch }) => {
      const name = branch.cells ? shortened(branch.name.text, longest - lead.length) : branch.name.text;
      return [cell(lead + name, branch.name.tone), ...(branch.cells ?? [])];
    }),
  ];
  const wanted = columnsWidth(rows(Infinity).filter((row) => row.length > 1)) + indent.length;
  const longestName = Math.max(
    0,
    ...lines.filter(({ branch }) => branch.cells).map(({ lead, branch }) => (lead + branch.name.text).length),
  );
  // what is no screen is searched and copied from
  const aligned = rows(terminal && wanted > width ? Math.max(narrowestName, longestName - (wanted - width)) : Infinity);
  // headings of a branch may be wide and have no columns: they do not push those of the others aside
  const withColumns = columns(
    aligned.filter((row, index) => index === 0 || row.length > 1),
    paint,
    indent,
  );
  const next = withColumns[Symbol.iterator]();
  return aligned.flatMap((row, index) => {
    const line = lines[index - 1];
    const [name] = row;
    const text = index === 0 || row.length > 1 ? (next.next().value ?? '') : indent + paint(name?.text ?? '', name?.tone);
    const lead = `${indent}${line?.below ?? ''}`;
    return [
      text,
      ...(line?.branch.notes ?? []).flatMap((note) => wrapped(note, width - lead.length).map((each) => paint(lead + each, 'faint'))),
    ];
  });
}

function linesOf(branch: Branch, lead: string, below: string): readonly Line[] {
  const { branches = [] } = branch;
  const bar = branches.length > 0 ? '│ ' : '  ';
  return [
    { lead, below: `${below}${bar}  `, branch },
    ...branches.flatMap((each, index) => {
      const last = index === branches.length - 1;
      return linesOf(each, `${below}${last ? '└─ ' : '├─ '}`, `${below}${last ? '   ' : '│  '}`);
    }),
  ];
}
