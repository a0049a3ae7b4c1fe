import { tokenSources, type TokenSource } from './token.ts';

type Counts = Record<TokenSource, number>;

const none = (): Counts => ({ slm: 0, llm: 0, fallback: 0 });

/** Counts emitted tokens by source, since the start and over the last minute. */
export class TokenWindow {
  readonly #now: () => number;
  readonly #started: number;
  readonly #seconds: number;
  readonly #total = none();
  readonly #buckets = new Map<number, Counts>();

  /** @param now milliseconds that only go forward */
  constructor(now: () => number = () => performance.now(), seconds = 60) {
    this.#now = now;
    this.#started = now();
    this.#seconds = seconds;
  }

  get total(): Readonly<Counts> {
    return { ...this.#total };
  }

  add(source: TokenSource, count: number): void {
    const second = this.#second();
    const bucket = this.#buckets.get(second) ?? none();
    this.#buckets.set(second, bucket);
    bucket[source] += count;
    this.#total[source] += count;
    this.#forget();
  }

  /** Tokens of the window, and the seconds it covers so far. */
  get recent(): { readonly seconds: number; readonly tokens: Readonly<Counts>; readonly tokensPerSecond: number } {
    this.#forget();
    const tokens = none();
    for (const bucket of this.#buckets.values()) for (const source of tokenSources) tokens[source] += bucket[source];
    const seconds = Math.min(this.#seconds, Math.max(1, (this.#now() - this.#started) / 1000));
    return { seconds, tokens, tokensPerSecond: (tokens.slm + tokens.llm + tokens.fallback) / seconds };
  }

  #second(): number {
    return Math.floor(this.#now() / 1000);
  }

  #forget(): void {
    const oldest = this.#second() - this.#seconds;
    for (const second of this.#buckets.keys()) if (second <= oldest) this.#buckets.delete(second);
  }
}
