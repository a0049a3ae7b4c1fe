/** Finds stop strings in a text that arrives in pieces, and holds text back while it could still become one. */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = '';

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** @returns the text that is certain now; `stopped` once a stop string is complete, whose text and all behind it is left out */
  push(text: string): { readonly text: string; readonly stopped: boolean } {
    const whole = this.#held + text;
    const starts = this.#stops.map((stop) => whole.indexOf(stop)).filter((start) => start >= 0);
    if (starts.length > 0) {
      this.#held = '';
      return { text: whole.slice(0, Math.min(...starts)), stopped: true };
    }
    const held = Math.max(0, ...this.#stops.map((stop) => longestOverlap(whole, stop)));
    this.#held = whole.slice(whole.length - held);
    return { text: whole.slice(0, whole.length - held), stopped: false };
  }

  /** What is still held back: no more text comes, so it is no stop string. */
  flush(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }
}

/** Length of the longest end of `text` that is a beginning of `stop`, short of all of it. */
function longestOverlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) if (text.endsWith(stop.slice(0, length))) return length;
  return 0;
}
