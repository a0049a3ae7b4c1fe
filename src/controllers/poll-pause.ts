import type { RouterStatus } from '../api/router-status.ts';

/** How soon to look again, in ms: nothing tells us when a router has taken over its configuration or emitted tokens. */
const pollMs = { whileUnderWay: 2_000, steady: 15_000, quiet: 45_000, asleep: 180_000 } as const;
/** Of each pause, after so many looks at a deployment that answers nobody comes the longer one. */
const looks = { steady: 4, quiet: 4 } as const;

/**
 * The pause before the next look at each deployment. One whose routers emit tokens is looked at every 15 s; one that has answered nobody for a
 * while and has nothing new to tell, every 45 s, and after some minutes more every 3 min. Pauses vary by a tenth, the long ones by half, so that deployments that were
 * all looked at in one moment, as after a start, spread out.
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
    const quietLooks = look.isUnderWay || look.changed || emits ? 0 : (this.#quietLooks.get(key) ?? 0) + 1;
    this.#quietLooks.set(key, quietLooks);
    if (look.isUnderWay) return pollMs.whileUnderWay;
    const pace = paceOf(quietLooks);
    const spread = pace === 'asleep' ? 0.5 : 0.1;
    return pollMs[pace] * (1 - spread + 2 * spread * this.#random());
  }

  forget(key: string): void {
    this.#quietLooks.delete(key);
  }
}

function paceOf(quietLooks: number): 'steady' | 'quiet' | 'asleep' {
  if (quietLooks <= looks.steady) return 'steady';
  return quietLooks <= looks.steady + looks.quiet ? 'quiet' : 'asleep';
}
