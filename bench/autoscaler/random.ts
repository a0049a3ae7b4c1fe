/** Seeded random numbers: the same seed gives the same workload, whatever else runs. */
export interface Random {
  /** Evenly in [0, 1). */
  next(): number;
  normal(): number;
  /** Gamma distribution with mean 1; `cv` is its standard deviation. */
  gamma(cv: number): number;
  logNormal(median: number, sigma: number): number;
  exponential(mean: number): number;
}

/** mulberry32: 32 bits of state, good enough for arrivals. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  /** Marsaglia and Tsang 2000; below shape 1 by their power of a uniform. */
  const standardGamma = (shape: number): number => {
    if (shape < 1) return standardGamma(shape + 1) * (1 - next()) ** (1 / shape);
    const d = shape - 1 / 3;
    for (;;) {
      const x = normal();
      const v = (1 + x / Math.sqrt(9 * d)) ** 3;
      if (v > 0 && Math.log(1 - next()) < x ** 2 / 2 + d - d * v + d * Math.log(v)) return d * v;
    }
  };
  return {
    next,
    normal,
    gamma: (cv) => standardGamma(1 / cv ** 2) * cv ** 2,
    logNormal: (median, sigma) => median * Math.exp(sigma * normal()),
    exponential: (mean) => -mean * Math.log(1 - next()),
  };
}

/** One seed for each name. */
export function seedOf(seed: number, name: string): number {
  let hash = (2166136261 ^ seed) >>> 0;
  for (const character of name) hash = Math.imul(hash ^ character.charCodeAt(0), 16777619) >>> 0;
  return hash;
}
