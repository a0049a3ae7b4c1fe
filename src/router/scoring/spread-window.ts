/** Beyond this the five candidates for the constant of a row's raw logits disagree about more than rounding (in logits). */
const tolerableSpread = 0.3;
const windowRows = 1_000;
/** More than 1 % of the window. */
const tolerableRows = 10;

/** How well raw logits could be recovered lately. */
export interface SpreadStats {
  /** Rows looked at, the last 1,000 at most. */
  readonly rows: number;
  /** Share of them with a spread above 0.3. */
  readonly share: number;
  readonly mean: number;
  readonly max: number;
  /** More than ten of the last 1,000 rows: the SLM's server does not answer with what the bundle was made for. */
  readonly alarm: boolean;
}

/** The spreads of the last rows. One that is no number counts as too large. */
export class SpreadWindow {
  readonly #values = new Float64Array(windowRows);
  #seen = 0;

  add(spread: number): void {
    this.#values[this.#seen++ % windowRows] = Number.isNaN(spread) ? Number.POSITIVE_INFINITY : spread;
  }

  get stats(): SpreadStats {
    const rows = Math.min(this.#seen, windowRows);
    if (rows === 0) return { rows, share: 0, mean: 0, max: 0, alarm: false };
    const values = this.#values.subarray(0, rows);
    const over = values.reduce((count, spread) => count + Number(spread > tolerableSpread), 0);
    const mean = values.reduce((sum, spread) => sum + spread, 0) / rows;
    return { rows, share: over / rows, mean, max: values.reduce((a, b) => Math.max(a, b)), alarm: over > tolerableRows };
  }
}
