/** Weighted latencies in buckets of 2 %, for their p95. */
export class Latencies {
  readonly #weights = new Float64Array(600);
  #total = 0;

  /** Calls whose latencies lie evenly between two bounds. Ms. */
  add(shortestMs: number, longestMs: number, calls: number): void {
    if (calls <= 0) return;
    const parts = 8;
    for (let part = 0; part < parts; part++) {
      const latencyMs = shortestMs + ((part + 0.5) / parts) * (longestMs - shortestMs);
      const bucket = Math.max(0, Math.min(this.#weights.length - 1, Math.floor(Math.log(latencyMs / 10) / 0.02)));
      this.#weights[bucket] = (this.#weights[bucket] ?? 0) + calls / parts;
    }
    this.#total += calls;
  }

  p95(): number | undefined {
    if (this.#total === 0) return undefined;
    let above = 0.05 * this.#total;
    for (let bucket = this.#weights.length - 1; bucket >= 0; bucket--) {
      above -= this.#weights[bucket] ?? 0;
      if (above < 0) return 10 * Math.exp((bucket + 0.5) * 0.02);
    }
    return undefined;
  }

  clear(): void {
    this.#weights.fill(0);
    this.#total = 0;
  }
}
