import { RecentCounts } from './recent-counts.ts';
import { tokenSources, type TokenSource } from './token.ts';

type Counts = Record<TokenSource, number>;

/** Counts emitted tokens by source, since the start and over the last minute. */
export class TokenWindow {
  readonly #now: () => number;
  readonly #started: number;
  readonly #seconds: number;
  readonly #total: Counts = { slm: 0, llm: 0, fallback: 0 };
  readonly #recent: RecentCounts<TokenSource>;

  /** @param now milliseconds that only go forward */
  constructor(now: () => number = () => performance.now(), seconds = 60) {
    this.#now = now;
    this.#started = now();
    this.#seconds = seconds;
    this.#recent = new RecentCounts(tokenSources, now, seconds);
  }

  get total(): Readonly<Counts> {
    return { ...this.#total };
  }

  add(source: TokenSource, count: number): void {
    this.#recent.add(source, count);
    this.#total[source] += count;
  }

  /** Tokens of the window, and the seconds it covers so far. */
  get recent(): { readonly seconds: number; readonly tokens: Readonly<Counts>; readonly tokensPerSecond: number } {
    const tokens = this.#recent.sums;
    const seconds = Math.min(this.#seconds, Math.max(1, (this.#now() - this.#started) / 1000));
    return { seconds, tokens, tokensPerSecond: (tokens.slm + tokens.llm + tokens.fallback) / seconds };
  }
}
