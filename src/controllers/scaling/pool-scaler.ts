import { keptCapacities, keptDecisions } from '../../api/scaling-status.ts';
import type { CapacityStatus, PoolScalingStatus, ScalingDecisionStatus } from '../../api/scaling-status.ts';
import { decide, initialCapacity, initialState, observeCapacity, seedCapacity } from '../../autoscaler/index.ts';
import type { CapacityState, MeasuredCapacity, PoolSample, ScalingDecision, ScalingPolicy, ScalingState } from '../../autoscaler/index.ts';
import { significant } from '../routing.ts';

/** How long a decision that changes nothing is shown before another such takes its place: reasons may alternate with the noise of the traffic. */
const shownAtLeastMs = 30_000;

/** Reasons for which a person may have to do something; they are shown at once, and so is their end. */
const grave: readonly string[] = ['StaleMetrics', 'InsufficientCapacity', 'CapacityUnknown'];

/** A tiny capacity makes a large need; the API has room for so much. */
const mostTold = 1_000_000;

export interface Tick {
  readonly decision: ScalingDecision;
  /** The status, or what a condition says, is not what it was. */
  readonly news: boolean;
}

/** What is remembered of one pool between samples. Everything that counts after a restart is in its status. */
export class PoolScaler {
  #wanted: number;
  #state: ScalingState;
  #revision: string | undefined;
  #capacity: CapacityState = initialCapacity();
  #capacities: readonly CapacityStatus[];
  #decisions: readonly ScalingDecisionStatus[];
  #shown: ScalingDecision | undefined;

  /** @param replicas - to begin with, where the status before says nothing */
  constructor(replicas: number, before: PoolScalingStatus | undefined) {
    this.#wanted = before?.wantedReplicas ?? replicas;
    this.#decisions = before?.decisions ?? [];
    this.#capacities = before?.capacities ?? [];
    const [last] = this.#decisions;
    this.#state = initialState(last && { demandPerSecond: last.demandPerSecond, atMs: Date.parse(last.at) });
  }

  get wanted(): number {
    return this.#wanted;
  }

  /** The decision to tell of: the last one, or an older one as long as nothing of weight has changed. */
  get shown(): ScalingDecision | undefined {
    return this.#shown;
  }

  /** Of a replica of the revision that was last scaled; undefined: not known yet. */
  get capacity(): MeasuredCapacity | undefined {
    return this.#capacity.measured ?? undefined;
  }

  get status(): PoolScalingStatus {
    const [decisions, capacities] = [[...this.#decisions], [...this.#capacities]];
    return { wantedReplicas: this.#wanted, ...(decisions.length > 0 && { decisions }), ...(capacities.length > 0 && { capacities }) };
  }

  tick(
    policy: ScalingPolicy,
    sample: PoolSample | undefined,
    nowMs: number,
    { revision, latencyTargetMs }: { readonly revision: string; readonly latencyTargetMs: number },
  ): Tick {
    this.#enter(revision);
    if (sample) this.#capacity = observeCapacity(this.#capacity, sample, latencyTargetMs);
    const current = { replicas: this.#wanted, capacity: this.capacity };
    const { state, decision } = decide(policy, this.#state, sample, current, nowMs);
    this.#state = state;
    const capacityNews = this.#keepCapacity(revision);
    const changes = decision.to !== decision.from;
    this.#wanted = decision.to;
    if (changes) this.#decisions = [told(decision), ...this.#decisions].slice(0, keptDecisions);
    const shows = changes || this.#isWorthShowing(decision);
    if (shows) this.#shown = decision;
    return { decision, news: shows || capacityNews };
  }

  /** Takes the benchmark's figure. */
  seed(revision: string, perSecond: number, nowMs: number): void {
    this.#enter(revision);
    this.#capacity = seedCapacity(this.#capacity, perSecond, nowMs);
    this.#keepCapacity(revision);
  }

  /** Another revision has other pods: what is known of a replica is known of them alone. */
  #enter(revision: string): void {
    if (revision === this.#revision) return;
    this.#revision = revision;
    const known = this.#capacities.find((each) => each.revision === revision);
    this.#capacity = initialCapacity(
      known && { perSecond: known.perSecond, source: known.source, measuredAtMs: Date.parse(known.measuredAt) },
    );
  }

  /** @returns whether the status changes by it: three digits count */
  #keepCapacity(revision: string): boolean {
    const { capacity } = this;
    if (!capacity) return false;
    const perSecond = significant(capacity.perSecond, 3);
    const before = this.#capacities.find((each) => each.revision === revision);
    if (before?.perSecond === perSecond && before.source === capacity.source) return false;
    const now = { revision, perSecond, source: capacity.source, measuredAt: timeOf(capacity.measuredAtMs) };
    this.#capacities = [now, ...this.#capacities.filter((each) => each !== before)].slice(0, keptCapacities);
    return true;
  }

  #isWorthShowing(decision: ScalingDecision): boolean {
    const shown = this.#shown;
    if (!shown) return true;
    if (shown.reason === decision.reason) return false;
    return grave.includes(shown.reason) || grave.includes(decision.reason) || decision.atMs - shown.atMs >= shownAtLeastMs;
  }
}

function told({ atMs, from, to, reason, message, inputs }: ScalingDecision): ScalingDecisionStatus {
  const { demandPerSecond, capacityPerReplica, floor, reactive, ready, pending, waitingRequests } = inputs;
  return {
    at: timeOf(atMs),
    from,
    to,
    reason,
    message: message.slice(0, 1024),
    ...(demandPerSecond !== undefined && { demandPerSecond: significant(demandPerSecond, 3) }),
    ...(capacityPerReplica !== undefined && { capacityPerReplica: significant(capacityPerReplica, 3) }),
    ...(floor !== undefined && { floor: Math.min(floor, mostTold) }),
    reactive,
    ready,
    pending,
    waitingRequests,
  };
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
