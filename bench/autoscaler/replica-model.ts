/**
 * One LLM replica: a 32B model, TP = 2 on H100-class GPUs, that answers calls of one token each. A step of its batch takes `stepBaseMs` (reading the
 * weights) and `stepPerCallMs` for each call in it (its token, the some eight tokens since the last call, attention). A call waits for the step under
 * way, half of one on average, and then takes part in one.
 */
export const replicaModel = {
  stepBaseMs: 25,
  stepPerCallMs: 0.6,
  /** Calls in a step at most; those beyond wait for another. */
  maxRunning: 96,
  /** 15,000 prompt tokens a second: facts of a compute-bound prefill. */
  prefillMsPerToken: 0.066,
  /** Prefill may take at most this share of the time: chunked prefill. */
  maxPrefillShare: 0.5,
  /** Prompt tokens that are not in the prefix cache, at most: longer prompts are turns of a conversation it knows. */
  maxPromptTokens: 2048,
  /** Of KV cache beside the weights; a running call holds its conversation's context. */
  kvTokens: 240_000,
  tokensPerContext: 1800,
  /** SLM and router, for one token (facts/performance.md 5.1). */
  tokenMs: 3.8,
  /** What the p95 of a call's latency is to stay within. */
  latencyTargetMs: 100,
} as const;

/** Prompt tokens whose prefill costs as much as one call. */
export const prefillTokensPerCall = replicaModel.stepPerCallMs / replicaModel.prefillMsPerToken;

export interface Load {
  /** Calls a second, all conversations of the replica together. */
  readonly callsPerSecond: number;
  /** Of one conversation, LLM calls waited for. */
  readonly tokensPerSecond: number;
  /** Shortest latency; the longest is `longestMs`, and they lie evenly in between. */
  readonly shortestMs: number;
  readonly longestMs: number;
  readonly running: number;
  readonly queued: number;
}

const idle: Load = { callsPerSecond: 0, tokensPerSecond: 1000 / replicaModel.tokenMs, shortestMs: 0, longestMs: 0, running: 0, queued: 0 };

/**
 * What a replica does with `conversations`, each of which has one call under way or drafts the 1 / `share` tokens until the next: the closed loop's
 * fixed point, calls under way = throughput x latency. `prefillShare` of the time goes to prompts.
 */
function solve(conversations: number, share: number, prefillShare: number): Load {
  if (conversations === 0) return idle;
  const { stepBaseMs, stepPerCallMs, maxRunning, tokenMs } = replicaModel;
  const thinkMs = tokenMs / share;
  const latency = (inFlight: number): { readonly step: number; readonly mean: number } => {
    const step = (stepBaseMs + stepPerCallMs * Math.min(inFlight, maxRunning)) / (1 - prefillShare);
    return { step, mean: step * (Math.max(1, inFlight / maxRunning) + 0.5) };
  };
  let [low, high] = [0, conversations];
  for (let round = 0; round < 40; round++) {
    const middle = (low + high) / 2;
    const { mean } = latency(middle);
    if ((conversations * mean) / (thinkMs + mean) > middle) low = middle;
    else high = middle;
  }
  const inFlight = (low + high) / 2;
  const { step, mean } = latency(inFlight);
  const callsPerSecond = (1000 * conversations) / (thinkMs + mean);
  // in the last half step on average, a call waits; those beyond the batch wait whole steps
  const running = Math.min(maxRunning, (inFlight * step) / mean);
  return {
    callsPerSecond,
    tokensPerSecond: 1000 / (thinkMs + mean) / share,
    shortestMs: mean - step / 2,
    longestMs: mean + step / 2,
    running,
    queued: inFlight - running,
  };
}

const prefillSteps = 20;
const tables = new Map<string, Load[]>();

/** As `solve`, remembered: shares of prefill are rounded to 2.5 %, LLM shares to a thousandth. */
export function loadOf(conversations: number, share: number, prefillShare: number): Load {
  const step = Math.round(Math.min(prefillShare, replicaModel.maxPrefillShare) * 2 * prefillSteps);
  const key = `${Math.round(share * 1000)}/${step}`;
  let table = tables.get(key);
  if (!table) tables.set(key, (table = []));
  return (table[conversations] ??= solve(conversations, Math.round(share * 1000) / 1000, step / (2 * prefillSteps)));
}

/** Calls a second of a replica whose p95 latency is just the target. */
export function trueCapacity(share: number): number {
  let conversations = 1;
  const within = (count: number): boolean => {
    const { shortestMs, longestMs } = loadOf(count, share, 0);
    return shortestMs + 0.95 * (longestMs - shortestMs) <= replicaModel.latencyTargetMs;
  };
  while (within(conversations + 1)) conversations++;
  return loadOf(conversations, share, 0).callsPerSecond;
}
