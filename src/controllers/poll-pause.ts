import type { RouterStatus } from '../api/router-status.ts';

/** How soon to look again, in ms: nothing tells us when a router has taken over its configuration or emitted tokens. */
const pollMs = { whileUnderWay: 2_000, steady: 15_000, quiet: 45_000, longest: 180_000 } as const;
/** Looks at a deployment that answers nobody before the longer pause comes. */
const steadyLooks = 4;
/** Between two looks at deployments that answer nobody, in ms, over all of them: a look costs some 5 ms of processor time. */
const spacingMs = 180;

/**
 * The pause before the next look at each deployment. One whose routers emit tokens is looked at every 15 s; one that has answered nobody for a
 * minute and has nothing new to tell, every 45 s, and where there are more than 250, as many times less often, down to every 3 min. Pauses vary
 * by a tenth, the longest by half, so that deployments that were all looked at in one moment, as after a start, spread out.
 */
export class PollPause {
  readonly #quietLooks = new Map<string, number>();
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** @param changed - the status differs from the one before */
  nextMs(
    key: string,
    look: { readonly isUnderWay: boolean; readonly changed: boolean; readonly routers: readonly RouterStatus[] },
  ): number {
    const emits = look.routers.some(({ window: { tokens } }) => tokens.slm + tokens.llm + tokens.fallback > 0);
    const spread = (ms: number, by: number): number => ms * (1 - by + 2 * by * this.#random());
    const quietLooks = look.isUnderWay || look.changed || emits ? 0 : (this.#quietLooks.get(key) ?? 0) + 1;
    this.#quietLooks.set(key, quietLooks);
    if (look.isUnderWay) return pollMs.whileUnderWay;
    if (quietLooks <= steadyLooks) return spread(pollMs.steady, 0.1);
    const everyMs = Math.min(pollMs.longest, Math.max(pollMs.quiet, spacingMs * this.#quietLooks.size));
    return spread(everyMs, everyMs > pollMs.quiet ? 0.5 : 0.1);
  }

  forget(key: string): void {
    this.#quietLooks.delete(key);
  }
}
