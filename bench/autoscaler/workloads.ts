import { random, seedOf, type Random } from './random.ts';
import { azureCode, deepSeekR1 } from './published.ts';

/** What happens to one pool of LLM replicas, whatever its scaling does. */
export interface Workload {
  readonly name: string;
  readonly seconds: number;
  /** Arrivals in order: when (s), prompt tokens, tokens to generate. */
  readonly at: Float64Array;
  readonly promptTokens: Float64Array;
  readonly tokens: Float64Array;
  /** Share of the tokens that the LLM supplies at a second. */
  readonly llmShare: (second: number) => number;
  /** Changes when someone changes threshold or router. */
  readonly routingKey: (second: number) => string;
  /** GPUs that the cluster has for this pool at a second. */
  readonly gpus: (second: number) => number;
  /** Whether a pod created at a second never becomes ready; `ordinal` counts the pods. */
  readonly fails: (second: number, ordinal: number) => boolean;
  /** Standard deviation of what a scrape sees, relative: 0.03 is 3 %. */
  readonly scrapeNoise: number;
}

const hour = 3600;

/** Nothing happens to cluster and router. */
export const steadyCluster = {
  llmShare: () => 0.126,
  routingKey: () => 'router',
  gpus: () => Infinity,
  fails: () => false,
  scrapeNoise: 0,
} as const;

export const workloadNames = ['steady', 'bursty', 'diurnal', 'ratio-drift', 'flapping-noise', 'failed-start', 'no-capacity'] as const;
export type WorkloadName = (typeof workloadNames)[number];

/** Generates one of the workloads. `scale` shortens it for tests: 0.1 is a tenth of its time. */
export function workload(name: WorkloadName, seed: number, scale = 1): Workload {
  const draw = random(seedOf(seed, name));
  const rate = (seconds: number, perSecond: (second: number) => number, cv: number) => arrivals(draw, seconds, perSecond, cv);
  switch (name) {
    case 'steady':
      return { ...steadyCluster, name, ...rate(4 * hour * scale, () => 10, 1) };
    case 'bursty':
      return { ...steadyCluster, name, ...bursts(draw, 8 * hour * scale) };
    case 'diurnal': {
      const seconds = 24 * hour * scale;
      return { ...steadyCluster, name, ...rate(seconds, (second) => diurnalRate(second / scale), deepSeekR1.arrivalCv) };
    }
    case 'ratio-drift': {
      const seconds = 6 * hour * scale;
      const changeAt = 0.6 * seconds;
      const llmShare = (second: number): number =>
        second < changeAt ? 0.08 + (0.17 * second) / changeAt : 0.12 + 0.02 * Math.sin((second / hour) * 4);
      return {
        ...steadyCluster,
        name,
        ...rate(seconds, () => 9, 1.5),
        llmShare,
        routingKey: (second) => (second < changeAt ? 'before' : 'after'),
      };
    }
    case 'flapping-noise':
      return { ...steadyCluster, name, ...rate(4 * hour * scale, (second) => 9.4 + 0.15 * Math.sin(second / 40), 1), scrapeNoise: 0.05 };
    case 'failed-start': {
      const seconds = 4 * hour * scale;
      const failing = (second: number, ordinal: number): boolean => second > seconds / 8 && second < seconds / 2 && ordinal % 2 === 0;
      return { ...steadyCluster, name, ...rate(seconds, (second) => (second < seconds / 8 ? 6 : 13), 1.5), fails: failing };
    }
    case 'no-capacity': {
      const seconds = 5 * hour * scale;
      const step = (second: number): number => (second < seconds / 8 ? 6 : second < seconds / 2 ? 14 : 4);
      return { ...steadyCluster, name, ...rate(seconds, step, 1.5), gpus: (second) => (second < 0.35 * seconds ? 8 : Infinity) };
    }
  }
}

/** The published rates, each 10 minutes' straight to the next. */
function diurnalRate(second: number): number {
  const { ratesPerSecond, binSeconds } = deepSeekR1;
  const bin = Math.max(0, second / binSeconds - 0.5);
  const [before, after] = [Math.floor(bin), Math.floor(bin) + 1].map(
    (index) => ratesPerSecond[Math.min(index, ratesPerSecond.length - 1)] ?? 0,
  );
  return (before ?? 0) + (bin - Math.floor(bin)) * ((after ?? 0) - (before ?? 0));
}

const lengths = (draw: Random): { readonly promptTokens: number; readonly tokens: number } => ({
  promptTokens: Math.ceil(draw.logNormal(deepSeekR1.promptTokens.median, deepSeekR1.promptTokens.sigma)),
  tokens: Math.max(1, Math.min(32_768, Math.ceil(draw.logNormal(deepSeekR1.tokens.median, deepSeekR1.tokens.sigma)))),
});

/** Gamma arrivals, stretched so that they follow the rate. */
function arrivals(draw: Random, seconds: number, perSecond: (second: number) => number, cv: number) {
  const at: number[] = [];
  let [due, seen] = [draw.gamma(cv), 0];
  for (let second = 0; second < seconds; second++) {
    const here = perSecond(second);
    while (due <= seen + here) {
      at.push(second + (due - seen) / here);
      due += draw.gamma(cv);
    }
    seen += here;
  }
  return withLengths(draw, seconds, at);
}

/**
 * The Azure code trace's shape: quiet and busy spells take turns; in a busy one, batches of requests come, each within two seconds; the largest second
 * has 26 times the mean. Requests are as long as DeepSeek-R1's.
 */
function bursts(draw: Random, seconds: number) {
  const { quietSeconds, busySeconds, batchSeconds, batchSize, batchSigma, largestBatch, scale } = azureCode;
  const at: number[] = [];
  let now = 0;
  let batches = 0;
  while (now < seconds) {
    now += draw.exponential(quietSeconds);
    const until = now + draw.exponential(busySeconds);
    while (now < until) {
      now += draw.exponential(batchSeconds);
      const largest = ++batches % 300 === 0;
      const size = Math.round(scale * (largest ? largestBatch : Math.min(largestBatch * 0.6, draw.logNormal(batchSize, batchSigma))));
      for (let each = 0; each < size; each++) at.push(now + draw.next() * (largest ? 1 : 2));
    }
  }
  return withLengths(
    draw,
    seconds,
    at.filter((time) => time < seconds).sort((a, b) => a - b),
  );
}

function withLengths(draw: Random, seconds: number, at: readonly number[]) {
  const drawn = at.map(() => lengths(draw));
  return {
    seconds,
    at: Float64Array.from(at),
    promptTokens: Float64Array.from(drawn, ({ promptTokens }) => promptTokens),
    tokens: Float64Array.from(drawn, ({ tokens }) => tokens),
  };
}
