/** What the turns of one round of the event loop may take together before the next ones wait for the next round. */
const budgetMs = 2;

/**
 * Lets many conversations share one event loop. Answers come in bursts, at the ends of the model servers' steps: were all of them dealt with
 * in the round of the event loop that brought them, a new request, a timer or a probe would wait for all of that. Here a round deals with
 * those that fit into its budget, and each further round with one.
 */
export class Turns {
  #waiting: (() => void)[] = [];
  /** When the first turn of this round began; undefined: none has. */
  #since: number | undefined;

  /** Runs `turn` now, or in a later round; in the order of the calls. */
  take(turn: () => void): void {
    const now = performance.now();
    if (this.#since === undefined) {
      this.#since = now;
      setImmediate(this.#nextRound);
    }
    if (this.#waiting.length === 0 && now - this.#since < budgetMs) turn();
    else this.#waiting.push(turn);
  }

  readonly #nextRound = (): void => {
    this.#since = undefined;
    const turn = this.#waiting.shift();
    if (turn === undefined) return;
    this.#since = performance.now();
    setImmediate(this.#nextRound);
    turn();
  };
}

/** Those of this thread's event loop. */
export const turns = new Turns();
