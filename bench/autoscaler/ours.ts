import {
  decide,
  initialCapacity,
  initialState,
  nextDrainStep,
  observeCapacity,
  seedCapacity,
  type DrainMark,
  type PoolSample,
  type ScalingDecision,
  type ScalingPolicy,
} from '../../src/autoscaler/index.ts';
import type { Autoscaler, Limits } from './policy.ts';
import { gpusPerReplica, type Pool } from './pool.ts';
import { random, seedOf } from './random.ts';
import { prefillTokensPerCall, replicaModel, trueCapacity } from './replica-model.ts';

const scrapeSeconds = 5;
const routers = ['router'] as const;

/** The defaults of the API, but for the latency target, which belongs to the simulated replicas. */
export const defaultPolicy: Omit<ScalingPolicy, 'minReplicas' | 'maxReplicas' | 'targetUtilization'> = {
  gpusPerReplica,
  gpuBudget: undefined,
  latencyTargetMs: replicaModel.latencyTargetMs,
  capacityPerReplica: undefined,
  tolerance: 0.1,
  scaleUp: { windowMs: 0, maxStep: 4 },
  scaleDown: { windowMs: 300_000, maxStep: 1 },
  pendingDeadlineMs: 1_200_000,
  staleAfterMs: 60_000,
  idleBeforeZeroMs: 600_000,
};

export const defaultUtilization = 0.7;

/** The operator's part: the real decision, capacity and drain code, fed every 5 s with what routers would tell. */
export function ours(
  targetUtilization: number,
  limits: Limits,
  replicas: number,
  seed: number,
  log?: (decision: ScalingDecision) => void,
): Autoscaler {
  const policy: ScalingPolicy = { ...defaultPolicy, ...limits, targetUtilization };
  const noise = random(seedOf(seed, 'scrape'));
  let state = initialState();
  let wanted = replicas;
  // the benchmark after the first replica became ready finds a tenth less than traffic will
  let capacity: ReturnType<typeof initialCapacity> | undefined;
  return {
    get wanted() {
      return wanted;
    },
    step(pool) {
      if (pool.second % scrapeSeconds !== 0) return;
      capacity ??= seedCapacity(initialCapacity(), 0.9 * trueCapacity(pool.workload.llmShare(0)), 0);
      const sample = scrape(pool, noise.normal());
      const nowMs = sample.atMs;
      capacity = observeCapacity(capacity, sample, replicaModel.latencyTargetMs);
      const decided = decide(policy, state, sample, { replicas: wanted, capacity: capacity.measured ?? undefined }, nowMs);
      state = decided.state;
      wanted = decided.decision.to;
      log?.(decided.decision);
      drain(pool, wanted, sample);
    },
  };
}

function scrape(pool: Pool, noise: number): PoolSample {
  const { counted, latencies, workload } = pool;
  const seen = (1 + workload.scrapeNoise * noise) / scrapeSeconds;
  const primed = counted.primedTokens / prefillTokensPerCall;
  const sample: PoolSample = {
    atMs: pool.second * 1000,
    demandPerSecond: (counted.calls + primed) * seen,
    donePerSecond: (counted.calls + primed) * seen,
    latencyP95Ms: latencies.p95(),
    waitingRequests: pool.waiting.length,
    routingKey: workload.routingKey(pool.second),
    replicas: pool.pods.map(({ id, ready, draining, createdSecond, load }) => ({
      id,
      ready,
      draining,
      createdAtMs: createdSecond * 1000,
      inFlight: Math.round(load.running + load.queued),
      runningRequests: load.running,
      queuedRequests: load.queued,
      kvUsage: Math.min(1, (load.running * replicaModel.tokensPerContext) / replicaModel.kvTokens),
    })),
  };
  pool.counted = { calls: 0, callsDone: 0, primedTokens: 0 };
  latencies.clear();
  return sample;
}

function drain(pool: Pool, wanted: number, sample: PoolSample): void {
  const marks: readonly DrainMark[] = pool.pods
    .filter(({ draining }) => draining)
    .map(({ id, drainingSinceSecond, costSet }) => ({ id, sinceMs: drainingSinceSecond * 1000, costSet }));
  const inFlight = Object.fromEntries(sample.replicas.map((replica) => [replica.id, replica.inFlight]));
  const step = nextDrainStep(
    {
      wanted,
      specReplicas: pool.replicas,
      replicas: sample.replicas,
      marks,
      routers,
      reports: [{ router: routers[0], draining: marks.map(({ id }) => id), inFlight }],
      timeoutMs: 300_000,
    },
    sample.atMs,
  );
  for (const pod of pool.pods) {
    if (step.unmark.includes(pod.id)) pod.draining = pod.costSet = false;
    if (step.mark.includes(pod.id)) pool.drain(pod);
    if (step.setDeletionCost.includes(pod.id)) pod.costSet = true;
  }
  pool.replicas = step.replicas;
}
