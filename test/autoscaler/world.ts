import {
  decide,
  initialState,
  nextDrainStep,
  type DrainMark,
  type MeasuredCapacity,
  type PoolSample,
  type ReplicaSample,
  type ScalingDecision,
  type ScalingPolicy,
  type ScalingState,
} from '../../src/autoscaler/index.ts';

export const policyDefaults: ScalingPolicy = {
  minReplicas: 1,
  maxReplicas: 10,
  gpusPerReplica: 2,
  gpuBudget: undefined,
  latencyTargetMs: 100,
  targetUtilization: 0.8,
  capacityPerReplica: 100,
  tolerance: 0.1,
  scaleUp: { windowMs: 15_000, maxStep: 4 },
  scaleDown: { windowMs: 300_000, maxStep: 1 },
  pendingDeadlineMs: 600_000,
  staleAfterMs: 60_000,
  idleBeforeZeroMs: 900_000,
};

export const replicaDefaults: ReplicaSample = {
  id: 'a',
  ready: true,
  draining: false,
  createdAtMs: 0,
  inFlight: 2,
  runningRequests: 2,
  queuedRequests: 0,
  kvUsage: 0.1,
};

/** `count` ready replicas, a to z. */
export function replicas(count: number, other: Partial<ReplicaSample> = {}): readonly ReplicaSample[] {
  return Array.from({ length: count }, (_, index) => ({ ...replicaDefaults, id: `replica-${index}`, ...other }));
}

export function sampleOf(
  atMs: number,
  demandPerSecond: number | undefined,
  pods: readonly ReplicaSample[],
  other: Partial<PoolSample> = {},
): PoolSample {
  return {
    atMs,
    demandPerSecond,
    donePerSecond: demandPerSecond,
    latencyP95Ms: 50,
    waitingRequests: 0,
    routingKey: 'router',
    replicas: pods,
    ...other,
  };
}

interface Pod {
  readonly id: string;
  readonly createdAtMs: number;
  readonly broken: boolean;
  scheduledAtMs: number | undefined;
  mark: DrainMark | undefined;
  terminatingUntilMs: number | undefined;
}

export interface Conditions {
  /** Units of work a second that conversations would ask for. */
  readonly demand: number;
  /** Of the cluster. */
  readonly gpus: number;
  /** Pods made now never become ready. */
  readonly broken: boolean;
  readonly sample: 'fresh' | 'missing' | 'without demand';
  readonly routingKey?: string;
}

export const fine: Conditions = { demand: 0, gpus: 1000, broken: false, sample: 'fresh' };

export const stepMs = 5000;
const startMs = 120_000;
/** A pod that ends holds its GPUs for so long. */
const graceMs = 20_000;

/** A pool in a cluster, 5 s at a time: pods start, end and need GPUs; everything is decided by the code under test. */
export class World {
  policy: ScalingPolicy;
  state: ScalingState = initialState();
  wanted: number;
  specReplicas: number;
  nowMs = 1_000_000_000_000;
  pods: Pod[] = [];
  readonly decisions: ScalingDecision[] = [];
  readonly #capacity: MeasuredCapacity | undefined;
  #made = 0;

  constructor(policy: Partial<ScalingPolicy>, initial: number, capacity?: MeasuredCapacity) {
    this.policy = { ...policyDefaults, ...policy };
    this.wanted = this.specReplicas = initial;
    this.#capacity = capacity;
  }

  /** GPUs that the pool's pods hold or ask for. */
  get gpus(): number {
    return this.pods.length * this.policy.gpusPerReplica;
  }

  ready(pod: Pod): boolean {
    return (
      !pod.broken && pod.scheduledAtMs !== undefined && this.nowMs - pod.scheduledAtMs >= startMs && pod.terminatingUntilMs === undefined
    );
  }

  serving(): number {
    return this.pods.filter((pod) => this.ready(pod) && pod.mark === undefined).length;
  }

  step(conditions: Conditions): ScalingDecision {
    this.nowMs += stepMs;
    this.#cluster(conditions);
    const sample = this.#sample(conditions);
    const { state, decision } = decide(this.policy, this.state, sample, { replicas: this.wanted, capacity: this.#capacity }, this.nowMs);
    this.state = state;
    this.wanted = decision.to;
    this.decisions.push(decision);
    if (sample) this.#drain(sample);
    return decision;
  }

  run(ms: number, conditions: Conditions, each?: (decision: ScalingDecision) => void): void {
    for (let passed = 0; passed < ms; passed += stepMs) {
      const decision = this.step(conditions);
      each?.(decision);
    }
  }

  #cluster({ gpus, broken }: Conditions): void {
    this.pods = this.pods.filter(({ terminatingUntilMs }) => terminatingUntilMs === undefined || terminatingUntilMs > this.nowMs);
    const standing = this.pods.filter(({ terminatingUntilMs }) => terminatingUntilMs === undefined);
    for (let missing = this.specReplicas - standing.length; missing > 0; missing--)
      this.pods.push({
        id: `pod-${this.#made++}`,
        createdAtMs: this.nowMs,
        broken,
        scheduledAtMs: undefined,
        mark: undefined,
        terminatingUntilMs: undefined,
      });
    const rank = (pod: Pod): number => (pod.scheduledAtMs === undefined ? 0 : !this.ready(pod) ? 1 : pod.mark?.costSet ? 2 : 3);
    const surplus = [...standing].sort((a, b) => rank(a) - rank(b) || b.createdAtMs - a.createdAtMs);
    for (const pod of surplus.slice(0, Math.max(0, standing.length - this.specReplicas)))
      pod.terminatingUntilMs = this.nowMs + (pod.scheduledAtMs === undefined ? 0 : graceMs);
    let free = gpus - this.policy.gpusPerReplica * this.pods.filter(({ scheduledAtMs }) => scheduledAtMs !== undefined).length;
    for (const pod of this.pods) {
      if (pod.scheduledAtMs !== undefined || free < this.policy.gpusPerReplica) continue;
      pod.scheduledAtMs = this.nowMs;
      free -= this.policy.gpusPerReplica;
    }
  }

  #sample({ demand, sample, routingKey = 'router' }: Conditions): PoolSample | undefined {
    if (sample === 'missing') return undefined;
    const serving = this.serving();
    const capacity = this.policy.capacityPerReplica ?? this.#capacity?.perSecond ?? 100;
    // a closed loop: no more is asked for than can be answered, more slowly
    const load = serving === 0 ? 0 : demand / (serving * capacity);
    const seen = Math.min(demand, 1.3 * serving * capacity);
    return sampleOf(
      this.nowMs,
      sample === 'without demand' ? undefined : seen,
      this.pods.map((pod) => {
        const ready = this.ready(pod);
        const busy = ready && pod.mark === undefined ? Math.min(40, 10 * load) : 0;
        return {
          id: pod.id,
          ready,
          draining: pod.mark !== undefined,
          terminating: pod.terminatingUntilMs !== undefined,
          createdAtMs: pod.createdAtMs,
          inFlight: Math.ceil(busy),
          runningRequests: Math.min(13, busy),
          queuedRequests: Math.max(0, busy - 13),
          kvUsage: Math.min(1, 0.5 * load),
        };
      }),
      { waitingRequests: serving === 0 && demand > 0 ? 5 : 0, latencyP95Ms: 80 * Math.max(0.5, load), routingKey },
    );
  }

  #drain(sample: PoolSample): void {
    const marks = this.pods.flatMap(({ mark }) => (mark ? [mark] : []));
    const step = nextDrainStep(
      {
        wanted: this.wanted,
        specReplicas: this.specReplicas,
        replicas: sample.replicas,
        marks,
        routers: ['router'],
        reports: [{ router: 'router', draining: marks.map(({ id }) => id), inFlight: {} }],
        timeoutMs: 300_000,
      },
      this.nowMs,
    );
    for (const pod of this.pods) {
      if (step.unmark.includes(pod.id)) pod.mark = undefined;
      if (step.mark.includes(pod.id)) pod.mark = { id: pod.id, sinceMs: this.nowMs, costSet: false };
      if (pod.mark && step.setDeletionCost.includes(pod.id)) pod.mark = { ...pod.mark, costSet: true };
    }
    this.specReplicas = step.replicas;
  }
}
