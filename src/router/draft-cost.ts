/** Weight that the past keeps when another call is observed. */
const kept = 0.98;
const usual = 0.5;
/** A call that takes so many times what was expected met a stall, which says nothing about calls. */
const stall = 3;

/** Learns what a call to the SLM costs besides its decode steps: a line through (tokens, milliseconds) of the recent calls. */
export class DraftCost {
  #weight = 0;
  #tokens = 0;
  #ms = 0;
  #tokensSquared = 0;
  #tokensMs = 0;

  observe(tokens: number, ms: number): void {
    if (this.#weight > 8 && ms > (stall * this.#ms * Math.max(1, (tokens * this.#weight) / this.#tokens)) / this.#weight) return;
    this.#weight = kept * this.#weight + 1;
    this.#tokens = kept * this.#tokens + tokens;
    this.#ms = kept * this.#ms + ms;
    this.#tokensSquared = kept * this.#tokensSquared + tokens * tokens;
    this.#tokensMs = kept * this.#tokensMs + tokens * ms;
  }

  /** Overhead of a call in decode steps, between 0.1 and 2 (more is a queue, which longer blocks would only lengthen); a usual value while calls were too alike to tell. */
  get overheadSteps(): number {
    const spread = this.#weight * this.#tokensSquared - this.#tokens ** 2;
    if (this.#weight < 8 || spread < 0.05 * this.#weight ** 2) return usual;
    const step = (this.#weight * this.#tokensMs - this.#tokens * this.#ms) / spread;
    const overhead = (this.#ms - step * this.#tokens) / this.#weight;
    if (!(step > 0)) return usual;
    return Math.min(2, Math.max(0.1, overhead / step));
  }
}
