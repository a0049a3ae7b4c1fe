import type { Strategy } from './strategy.ts';

export interface ScoredRow {
  readonly id: number;
  readonly score: number;
}

export interface Acceptance<State> {
  /** Rows to emit as they are: those before the first divergent one, or up to and with an end token. */
  readonly accepted: number;
  /** Row `accepted` is divergent: the large model supplies that position. */
  readonly divergent: boolean;
  /** The last accepted row is an end token. */
  readonly ended: boolean;
  /** State after the last row looked at (the divergent one included). */
  readonly state: State;
}

/** Walks a drafted block from `from`, exactly as one token at a time would. An end token goes through the strategy like any other. */
export function accept<State>(
  strategy: Strategy<State>,
  before: State,
  rows: readonly ScoredRow[],
  from: number,
  endIds: ReadonlySet<number>,
): Acceptance<State> {
  let state = before;
  for (let index = from; index < rows.length; index++) {
    const row = rows[index];
    if (!row) break;
    const decision = strategy.decide(state, row);
    state = decision.state;
    if (decision.divergent) return { accepted: index - from, divergent: true, ended: false, state };
    if (endIds.has(row.id)) return { accepted: index - from + 1, divergent: false, ended: true, state };
  }
  return { accepted: rows.length - from, divergent: false, ended: false, state };
}
