/** Weight that the past keeps when another hundred tokens are counted. */
const keptPer100Tokens = 0.8;
/** Tokens that must have been counted before anything is said. */
const enoughTokens = 200;

/** How long an answer waits for a token, on average over the recent ones of all conversations. */
export class RoutingPace {
  #tokens = 0;
  #ms = 0;

  /** @param ms from the tokens before to these, without the time the client took to read */
  add(tokens: number, ms: number): void {
    const kept = keptPer100Tokens ** (tokens / 100);
    this.#tokens = kept * this.#tokens + tokens;
    this.#ms = kept * this.#ms + ms;
  }

  /** Undefined while too little was seen. */
  get msPerToken(): number | undefined {
    return this.#tokens < enoughTokens ? undefined : this.#ms / this.#tokens;
  }
}
