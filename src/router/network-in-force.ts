import type { Loaded } from './routing.ts';
import type { ScorableRow, Scorer, Scoring, SignalName } from './scoring/index.ts';
import { plainScorer } from './scoring/index.ts';
import { retryingScorer } from './scoring-retry.ts';
import { evidenceLogits } from './scoring/uncertainty.ts';

/** What scores tokens for the requests that begin now. */
export interface Network {
  readonly loaded: Loaded;
  scorerFor(signals: readonly SignalName[]): Scorer;
}

/** Without a bundle: entropy alone. */
export const noNetwork: Network = { loaded: { threshold: null, signals: new Set(['entropy']) }, scorerFor: plainScorer };

/** How long a bundle that was replaced stays open at least, for requests that have begun and scored nothing yet. */
const graceMs = 60_000;

/** A loaded bundle, which stays open until the last answer that began with it has ended. */
export class NetworkInForce implements Network {
  readonly scoring: Scoring;
  readonly loaded: Loaded;
  readonly #users = new Set<AbortSignal>();
  #retired = false;

  constructor(scoring: Scoring) {
    this.scoring = scoring;
    const { classes, inputs, logitsSize, threshold } = scoring.manifest;
    const signals = new Set<SignalName>(['entropy']);
    if (classes > 0) signals.add('probability');
    if (inputs.includes('lm_head') && logitsSize >= evidenceLogits) signals.add('aleatoric').add('epistemic');
    this.loaded = { threshold, signals };
  }

  scorerFor(signals: readonly SignalName[]): Scorer {
    const scorer = retryingScorer(this.scoring.scorerFor(signals));
    return {
      topLogprobs: scorer.topLogprobs,
      hiddenStates: scorer.hiddenStates,
      score: (rows: readonly ScorableRow[], signal: AbortSignal) => {
        this.#use(signal);
        return scorer.score(rows, signal);
      },
    };
  }

  /** Another bundle has taken over. @returns a timer that a router which ends may clear */
  retire(): NodeJS.Timeout {
    return setTimeout(() => {
      this.#retired = true;
      this.#closeWhenUnused();
    }, graceMs).unref();
  }

  async close(): Promise<void> {
    await this.scoring.close();
  }

  /** @param signal fires when the answer has ended, however it did */
  #use(signal: AbortSignal): void {
    if (this.#users.has(signal) || signal.aborted) return;
    this.#users.add(signal);
    const leave = (): void => {
      this.#users.delete(signal);
      this.#closeWhenUnused();
    };
    signal.addEventListener('abort', leave, { once: true });
  }

  #closeWhenUnused(): void {
    if (this.#retired && this.#users.size === 0) void this.scoring.close();
  }
}
