import { latencyBoundsMs } from '../api/router-work.ts';
import type { RouterStatus } from '../api/router-status.ts';
import type { PoolSample, ReplicaSample } from './types.ts';

/** Prompt tokens that cost an LLM replica about as much as one call: a routed call itself brings some 8 tokens that it has not read yet. */
export const prefillTokensPerCall = 8;

/** What one router answered. */
export interface RouterAnswer {
  /** UID of its pod. */
  readonly id: string;
  /** Undefined: nothing, in time. */
  readonly status: RouterStatus | undefined;
}

/** A pod of a pool, as the API server has it. */
export interface PodFact {
  readonly id: string;
  readonly ready: boolean;
  /** It is ending. */
  readonly terminating: boolean;
  /** ms since the epoch. */
  readonly createdAtMs: number;
}

/** Everything a sample of both pools is made of. */
export interface Reading {
  /** ms since the epoch. */
  readonly atMs: number;
  /** Of the routers that take requests. */
  readonly routers: readonly RouterAnswer[];
  readonly llmPods: readonly PodFact[];
  readonly slmPods: readonly PodFact[];
  /** LLM pods that routers were told to leave alone. */
  readonly drainingPodUIDs: readonly string[];
}

/** Counters of one pool as one router told them. */
interface Counters {
  /** Units of work asked for since the router started. */
  readonly asked: number;
  /** Of these, what only readied a replica and is done when it is asked for. */
  readonly unanswered: number;
  /** Answered calls by latency class; empty: the router does not tell. */
  readonly latencies: readonly number[];
}

interface RouterCounters {
  readonly atMs: number;
  readonly instance: string | null;
  readonly llm: Counters | null;
  readonly slm: Counters | null;
}

/** What is remembered between samples. */
export interface CollectorState {
  readonly routers: Readonly<Record<string, RouterCounters>>;
  readonly routingKey: string;
}

export const initialCollector: CollectorState = { routers: {}, routingKey: '' };

export interface Collected {
  readonly state: CollectorState;
  readonly llm: PoolSample;
  readonly slm: PoolSample;
}

/** Makes samples of both pools from what routers and API server say now, and what routers said the time before. Pure. */
export function collect(state: CollectorState, reading: Reading): Collected {
  const { atMs, routers } = reading;
  const now = Object.fromEntries(
    routers.flatMap(({ id, status }): [string, RouterCounters][] => (status ? [[id, countersOf(status, atMs)]] : [])),
  );
  const statuses = routers.flatMap(({ status }) => status ?? []);
  const routingKey = keyOf(statuses) ?? state.routingKey;
  // one that is silent for a moment is compared with what it said last
  const silent = routers.flatMap(({ id }): [string, RouterCounters][] => {
    const last = state.routers[id];
    return now[id] || !last ? [] : [[id, last]];
  });
  const ratesOf = (pool: 'llm' | 'slm') => rates(routers, state.routers, now, pool);
  return {
    state: { routers: { ...Object.fromEntries(silent), ...now }, routingKey },
    llm: {
      atMs,
      ...ratesOf('llm'),
      waitingRequests: sum(statuses, ({ work }) => work?.llm.waitingRequests ?? 0),
      routingKey,
      replicas: reading.llmPods.map((pod) => llmReplica(pod, statuses, reading.drainingPodUIDs)),
    },
    slm: {
      atMs,
      ...ratesOf('slm'),
      waitingRequests: sum(statuses, ({ work }) => work?.slm.queuedRequests ?? 0),
      routingKey,
      replicas: reading.slmPods.map((pod) => slmReplica(pod, routers)),
    },
  };
}

function countersOf(status: RouterStatus, atMs: number): RouterCounters {
  const { work, llmCalls, tokensTotal } = status;
  const instance = status.instance ?? null;
  const none = { unanswered: 0, latencies: [] };
  const { slm, llm, fallback } = tokensTotal;
  if (!work) {
    // a router from before there was `work`: what comes nearest
    return { atMs, instance, llm: llmCalls ? { ...none, asked: llmCalls.started } : null, slm: { ...none, asked: slm + llm + fallback } };
  }
  const primes = work.llm.primedTokens / prefillTokensPerCall;
  return {
    atMs,
    instance,
    llm: { asked: work.llm.calls + primes, unanswered: primes, latencies: known(work.llm.latencies) },
    slm: { asked: work.slm.draftedTokens, unanswered: 0, latencies: known(work.slm.latencies) },
  };
}

/** Classes of another version mean nothing here. */
function known(latencies: readonly number[]): readonly number[] {
  return latencies.length === latencyBoundsMs.length + 1 ? latencies : [];
}

/** What decides how much of the traffic goes to the LLM; undefined while the routers differ. */
function keyOf(statuses: readonly RouterStatus[]): string | undefined {
  const keys = new Set(
    statuses.map(({ strategy, threshold, lookahead, bundle }) => JSON.stringify([strategy, threshold, lookahead, bundle?.digest])),
  );
  const [only] = keys;
  return keys.size === 1 ? only : undefined;
}

/**
 * Rates of one pool over all routers. A router that began anew, or is new, has none yet; when at least half of the routers have some, the
 * others are taken to be like them.
 */
function rates(
  routers: readonly RouterAnswer[],
  before: CollectorState['routers'],
  now: CollectorState['routers'],
  pool: 'llm' | 'slm',
): Pick<PoolSample, 'demandPerSecond' | 'donePerSecond' | 'latencyP95Ms'> {
  const all = routers.flatMap(({ id }) => rateOf(before[id], now[id], pool) ?? []);
  const nothing = { demandPerSecond: undefined, donePerSecond: undefined, latencyP95Ms: undefined };
  if (all.length === 0 || all.length * 2 < routers.length) return nothing;
  const share = routers.length / all.length;
  const counts = all.reduce<number[]>((total, { latencies }) => latencies.map((count, index) => count + (total[index] ?? 0)), []);
  return {
    demandPerSecond: sum(all, ({ asked }) => asked) * share,
    donePerSecond: sum(all, ({ done }) => done) * share,
    latencyP95Ms: percentile(counts, 0.95),
  };
}

interface Rate {
  readonly asked: number;
  readonly done: number;
  readonly latencies: readonly number[];
}

function rateOf(before: RouterCounters | undefined, now: RouterCounters | undefined, pool: 'llm' | 'slm'): Rate | undefined {
  const [was, is] = [before?.[pool], now?.[pool]];
  if (!before || !now || !was || !is || before.instance !== now.instance || is.asked < was.asked) return undefined;
  const seconds = (now.atMs - before.atMs) / 1000;
  if (!(seconds > 0)) return undefined;
  const latencies = is.latencies.map((count, index) => count - (was.latencies[index] ?? 0));
  if (latencies.some((count) => count < 0)) return undefined;
  const asked = is.asked - was.asked;
  // drafted tokens are counted when they are there, so all that was asked for is done
  const answered = pool === 'slm' || latencies.length === 0 ? asked : sum(latencies, (count) => count) + is.unanswered - was.unanswered;
  return { asked: asked / seconds, done: answered / seconds, latencies };
}

/** From counts by latency class, taken to be spread evenly within each; undefined when there are none. Ms. */
function percentile(counts: readonly number[], share: number): number | undefined {
  const total = sum(counts, (count) => count);
  if (total === 0) return undefined;
  let below = 0;
  for (const [index, count] of counts.entries()) {
    const low = index === 0 ? 0 : (latencyBoundsMs[index - 1] ?? 0);
    const high = latencyBoundsMs[index] ?? low;
    if (count > 0 && below + count >= share * total) return low + ((share * total - below) / count) * (high - low);
    below += count;
  }
  return latencyBoundsMs.at(-1);
}

function llmReplica(pod: PodFact, statuses: readonly RouterStatus[], drainingPodUIDs: readonly string[]): ReplicaSample {
  const { id } = pod;
  // what a router without a client has under way is of its own making: it times the LLM now and then
  const forClients = statuses
    .filter(({ inFlight }) => inFlight > 0)
    .flatMap(({ llmEndpoints }) => llmEndpoints.filter(({ podUID }) => podUID === id));
  const seen = statuses.flatMap(({ llmEndpoints }) => llmEndpoints.filter(({ podUID }) => podUID === id));
  // all routers ask the same engine, one after another: the highest is the safe one
  const highest = (of: (load: NonNullable<(typeof seen)[number]['load']>) => number | undefined): number | undefined => {
    const values = seen.flatMap(({ load }) => (load ? (of(load) ?? []) : []));
    return values.length > 0 ? Math.max(...values) : undefined;
  };
  return {
    ...pod,
    draining: drainingPodUIDs.includes(id),
    inFlight: sum(forClients, ({ inFlight }) => inFlight),
    runningRequests: highest(({ runningRequests }) => runningRequests),
    queuedRequests: highest(({ queuedRequests }) => queuedRequests),
    kvUsage: highest(({ kvUsage }) => kvUsage),
  };
}

function slmReplica(pod: PodFact, routers: readonly RouterAnswer[]): ReplicaSample {
  const status = routers.find(({ id }) => id === pod.id)?.status;
  const { runningRequests, queuedRequests, kvUsage } = status?.work?.slm.load ?? {};
  return { ...pod, draining: false, inFlight: status?.inFlight ?? 0, runningRequests, queuedRequests, kvUsage };
}

function sum<T>(list: readonly T[], of: (each: T) => number): number {
  return list.reduce((total, each) => total + of(each), 0);
}
