import { randomAt } from '../../src/router/counter-random.ts';
import type { Sampling } from '../../src/router/sampler.ts';
import type { TopLogprobs } from '../../src/sglang/index.ts';

interface Entry {
  readonly id: number;
  readonly logprob: number;
  readonly weight: number;
}

/**
 * The tokens that a request could have chosen at a position if the difference of any two log-probabilities were up to `margin` off. Greedy:
 * those so near the best. Sampled: those whose stretch of the cumulative distribution, moved by so much, holds the position's draw.
 *
 * Adding up to `margin` to one side's log-probabilities moves the boundary between what lies before and what lies behind it, a cumulative
 * probability c, by at most margin / temperature in log(c / (1 - c)); tokens nearer than the margin may also change places.
 */
export function possibleTokens(
  top: TopLogprobs,
  sampling: Sampling,
  position: number,
  margin: number,
  validIds: number,
): ReadonlySet<number> {
  const { temperature, seed, choice } = sampling;
  const valid = [...top.ids]
    .map((id, index) => ({ id, logprob: top.logprobs[index] ?? Number.NEGATIVE_INFINITY }))
    .filter(({ id, logprob }) => id < validIds && Number.isFinite(logprob));
  const best = valid[0]?.logprob ?? Number.NaN;
  const entries = valid.map((entry): Entry => ({ ...entry, weight: Math.exp((entry.logprob - best) / (temperature || 1)) }));
  if (temperature === 0) return new Set(entries.filter(({ logprob }) => best - logprob <= margin).map(({ id }) => id));
  const drawn = randomAt(seed, choice, position);
  const possible = new Set<number>();
  for (const kept of keptCounts(entries, sampling, margin))
    for (const entry of entries) if (couldBeDrawn(entry, entries.slice(0, kept), drawn, margin, temperature)) possible.add(entry.id);
  return possible;
}

/** How many of the best entries the cuts to `topK` and `topP` may leave. */
function keptCounts(entries: readonly Entry[], { temperature, topP, topK }: Sampling, margin: number): readonly number[] {
  const all = topK > 0 ? entries.slice(0, topK) : entries;
  const total = sum(all);
  const nucleus = (share: number): number => {
    let mass = 0;
    let count = 0;
    while (count < all.length && (count === 0 || mass < share * total)) mass += all[count++]?.weight ?? 0;
    return count;
  };
  const [fewest, most] = [nucleus(moved(topP, -margin / temperature)), nucleus(moved(topP, margin / temperature))];
  return Array.from({ length: most - fewest + 1 }, (_, index) => fewest + index);
}

function couldBeDrawn(entry: Entry, kept: readonly Entry[], drawn: number, margin: number, temperature: number): boolean {
  const last = kept.at(-1);
  const inside = kept.includes(entry);
  // an entry just behind the cut may have been before it
  if (!last || (!inside && last.logprob - entry.logprob > margin)) return false;
  const others = kept.filter((other) => other !== entry);
  const total = sum(others) + entry.weight;
  const surelyBefore = sum(others.filter(({ logprob }) => logprob - entry.logprob > margin));
  const maybeBefore = sum(others.filter(({ logprob }) => logprob - entry.logprob >= -margin));
  const from = moved(surelyBefore / total, -margin / temperature);
  const to = moved((maybeBefore + entry.weight) / total, margin / temperature);
  return drawn >= from && drawn <= to;
}

/** A cumulative probability, moved in log(c / (1 - c)). */
function moved(cumulative: number, by: number): number {
  if (cumulative <= 0 || cumulative >= 1) return cumulative;
  return 1 / (1 + Math.exp(-(Math.log(cumulative / (1 - cumulative)) + by)));
}

function sum(entries: readonly Entry[]): number {
  return entries.reduce((total, { weight }) => total + weight, 0);
}
