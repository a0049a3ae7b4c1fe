import { labelKeys, revisionNames } from '../../api/names.ts';
import { specSchema } from '../../api/r2rdeployment.ts';
import type { R2RDeployment, R2RDeploymentSpec } from '../../api/r2rdeployment.ts';
import { collect, initialCollector } from '../../autoscaler/index.ts';
import type { Collected, CollectorState, PodFact, ScalingDecision } from '../../autoscaler/index.ts';
import { keyOf, keyString, pause } from '../../kube/index.ts';
import type { EventRecorder, Live, Logger, ObjectKey } from '../../kube/index.ts';
import type { Pod } from '../../kube/resources.ts';
import { podsOfInstance } from '../caches.ts';
import type { Caches } from '../caches.ts';
import { isReady } from '../pod-problem.ts';
import type { RouterClient } from '../router-client.ts';
import { Benchmark } from './benchmark.ts';
import { toldRouters } from './drain.ts';
import type { ScalingMetrics } from './metrics.ts';
import { gpusPerReplica, onlyUp, poolNames, policyOf } from './policy.ts';
import type { PoolName } from './policy.ts';
import { PoolScaler } from './pool-scaler.ts';
import { otherGpus } from './pools.ts';
import type { Scalers } from './pools.ts';

export interface ScalingLoopOptions {
  readonly caches: Caches;
  readonly routers: RouterClient;
  readonly recorder: EventRecorder;
  readonly metrics: ScalingMetrics;
  readonly logger: Logger;
  /** Has a deployment reconciled: a decision, or what is said of it, is another one. */
  readonly enqueue: (key: ObjectKey) => void;
  /** Between two samples of a deployment, in ms; fast while requests may wait for a pool at zero. @default { steady: 5_000, fast: 1_000 } */
  readonly everyMs?: { readonly steady: number; readonly fast: number };
  /** Wall clock. */
  readonly now?: () => Date;
}

/** What is remembered of one deployment. */
interface Scaled {
  readonly uid: string;
  readonly pools: Map<PoolName, PoolScaler>;
  readonly benchmark: Benchmark;
  collector: CollectorState;
  dueMs: number;
  busy: boolean;
  /** The spec as it was read, for as long as it is of this generation. */
  parsed: { readonly generation: number | undefined; readonly spec: R2RDeploymentSpec } | undefined;
}

/** Deployments sampled at the same time. */
const concurrency = 32;

/**
 * Samples each deployment that has autoscaling, decides, and has it reconciled when something changed. Others cost nothing. Runs in the
 * leader alone; what counts after a change of the leader is in the statuses.
 */
export class ScalingLoop implements Scalers {
  readonly #options: ScalingLoopOptions;
  readonly #scaled = new Map<string, Scaled>();
  #underWay = 0;

  constructor(options: ScalingLoopOptions) {
    this.#options = options;
    options.metrics.publish(() => this.#views());
  }

  of(deployment: Live<R2RDeployment>, pool: PoolName): PoolScaler | undefined {
    if (!deployment.spec[pool].autoscaling) {
      this.#scaled.get(keyString(keyOf(deployment)))?.pools.delete(pool);
      return undefined;
    }
    const { pools } = this.#entry(deployment);
    const known = pools.get(pool);
    if (known) return known;
    const made = new PoolScaler(deployment.spec[pool].replicas, deployment.status?.scaling?.[pool]);
    pools.set(pool, made);
    return made;
  }

  forget(key: ObjectKey): void {
    this.#scaled.get(keyString(key))?.benchmark.stop();
    this.#scaled.delete(keyString(key));
  }

  /** Until the signal. */
  readonly run = async (signal: AbortSignal): Promise<void> => {
    const { steady, fast } = this.#intervals;
    while (!signal.aborted) {
      for (const deployment of this.#options.caches.r2r.byIndex('autoscaled', 'yes')) {
        if (this.#underWay >= concurrency) break;
        void this.#visit(deployment, signal);
      }
      await pause(Math.min(steady, fast) / 2, signal);
    }
    for (const { benchmark } of this.#scaled.values()) benchmark.stop();
  };

  /** Samples one deployment, if it is its turn. Never rejects. */
  async #visit(deployment: Live<R2RDeployment>, signal: AbortSignal): Promise<void> {
    const entry = this.#entry(deployment);
    const nowMs = this.#nowMs();
    if (entry.busy || nowMs < entry.dueMs || deployment.metadata.deletionTimestamp) return;
    entry.busy = true;
    this.#underWay++;
    try {
      const fast = await this.#sample(deployment, entry, signal);
      entry.dueMs = nowMs + (fast ? this.#intervals.fast : this.#intervals.steady);
    } catch (error) {
      if (!signal.aborted)
        this.#options.logger.error({ err: error, object: keyString(keyOf(deployment)) }, 'sampling for autoscaling failed');
      entry.dueMs = nowMs + this.#intervals.steady;
    } finally {
      entry.busy = false;
      this.#underWay--;
    }
  }

  /** @returns whether to look again soon */
  async #sample(deployment: Live<R2RDeployment>, entry: Scaled, signal: AbortSignal): Promise<boolean> {
    const { caches, routers } = this.#options;
    const spec = specOf(deployment, entry);
    const { serving, target } = deployment.status?.revision ?? {};
    const stored = spec && { ...deployment, spec };
    if (!stored || stored.spec.suspend || !serving) {
      entry.benchmark.stop();
      return false;
    }
    // a strategy that holds what serves aims at no other
    const rolling = serving !== target && stored.spec.rollout.strategy !== 'None';
    const { namespace, name } = deployment.metadata;
    const ofRevision = podsOfInstance(caches, deployment.metadata).filter(
      ({ metadata }) => metadata.labels?.[labelKeys.revision] === serving,
    );
    const ofRole = (role: PoolName): Live<Pod>[] => ofRevision.filter(({ metadata }) => metadata.labels?.[labelKeys.component] === role);
    const [llmPods, slmPods] = [ofRole('llm'), ofRole('slm')];
    // stopped, or not begun: nobody can ask for anything
    if (slmPods.every(({ metadata }) => metadata.deletionTimestamp !== undefined)) return false;
    const callable = slmPods.filter((pod) => isReady(pod) && pod.status?.podIP && !pod.metadata.deletionTimestamp);
    const answers = await Promise.all(
      callable.map(async ({ metadata, status }) => ({ id: metadata.uid, status: await routers.status(status?.podIP ?? '', signal) })),
    );
    const map = caches.children.get('v1/ConfigMap')?.get({ namespace, name: revisionNames(name, serving).router });
    const nowMs = this.#nowMs();
    const collected = collect(entry.collector, {
      atMs: nowMs,
      routers: answers,
      llmPods: llmPods.map(fact),
      slmPods: slmPods.map(fact),
      drainingPodUIDs: toldRouters(map).drainingPodUIDs,
    });
    const first = entry.collector === initialCollector;
    entry.collector = collected.state;
    const heard = answers.some(({ status }) => status !== undefined);
    // rates take two readings, and before the first router takes requests there is nothing to tell
    if (first) return true;
    const starting = callable.length === 0;
    const statuses = answers.flatMap(({ status }) => status ?? []);
    // a router from before there was `work` would neither keep a request waiting nor tell of it
    const leastLlm = statuses.every(({ work }) => work) ? 0 : 1;
    for (const pool of poolNames) {
      // only the LLM pool of the revision that answers can grow meanwhile
      if (rolling && pool === 'slm') continue;
      if (starting && !entry.pools.get(pool)?.shown) continue;
      const least = pool === 'llm' ? leastLlm : 1;
      this.#decide(stored, entry, { pool, least, revision: serving, rolling }, heard ? collected : undefined, nowMs);
    }
    const llm = entry.pools.get('llm');
    if (llm) {
      const { latencyTargetMilliseconds = 0, capacityPerReplica } = stored.spec.llm.autoscaling ?? {};
      const facts = {
        wanted: !rolling && capacityPerReplica === undefined && llm.capacity === undefined && llmPods.some(isReady),
        idle: heard && statuses.every(({ inFlight }) => inFlight === 0),
        address: callable[0]?.status?.podIP,
        revision: serving,
        latencyTargetMs: latencyTargetMilliseconds,
      };
      entry.benchmark.look(facts, nowMs);
    }
    return entry.benchmark.running || (llm !== undefined && !llmPods.some(isReady));
  }

  #decide(
    deployment: Live<R2RDeployment>,
    entry: Scaled,
    {
      pool,
      least,
      revision,
      rolling,
    }: { readonly pool: PoolName; readonly least: number; readonly revision: string; readonly rolling: boolean },
    collected: Collected | undefined,
    nowMs: number,
  ): void {
    const { autoscaling } = deployment.spec[pool];
    // what its calls do to queues and caches is no reason to add replicas
    if (!autoscaling || (pool === 'llm' && entry.benchmark.running)) return;
    const scaler = this.of(deployment, pool);
    if (!scaler) return;
    const gpus = gpusPerReplica(pool, deployment.spec);
    const policy = policyOf(autoscaling, gpus, gpus > 0 ? otherGpus(this.#options, deployment.metadata, revision, pool) : 0);
    const before = scaler.shown?.reason;
    const bounded = rolling ? onlyUp(policy, scaler.wanted) : { ...policy, minReplicas: Math.max(least, policy.minReplicas) };
    const { decision, news } = scaler.tick(bounded, collected?.[pool], nowMs, {
      revision,
      latencyTargetMs: autoscaling.latencyTargetMilliseconds,
    });
    if (!news) return;
    this.#note(deployment, pool, decision, before);
    this.#options.enqueue(keyOf(deployment));
  }

  #note(deployment: Live<R2RDeployment>, pool: PoolName, { from, to, reason, message }: ScalingDecision, before: string | undefined): void {
    const { recorder, metrics } = this.#options;
    const what = pool.toUpperCase();
    if (to !== from) {
      metrics.decisions.inc({ pool, reason });
      const note = `${what} pool: ${from} to ${to} replicas (${reason}): ${message}`;
      recorder.record(deployment, { type: 'Normal', reason: to > from ? 'ScaledUp' : 'ScaledDown', action: 'Scale', note });
    } else if (reason !== before && (reason === 'InsufficientCapacity' || (reason === 'StaleMetrics' && before !== undefined))) {
      recorder.record(deployment, { type: 'Warning', reason, action: 'Scale', note: `${what} pool: ${message}` });
    }
  }

  #entry(deployment: Live<R2RDeployment>): Scaled {
    const key = keyString(keyOf(deployment));
    const known = this.#scaled.get(key);
    if (known?.uid === deployment.metadata.uid) return known;
    known?.benchmark.stop();
    const pools = new Map<PoolName, PoolScaler>();
    const benchmark = new Benchmark(this.#options.routers, (revision, perSecond) => {
      pools.get('llm')?.seed(revision, perSecond, this.#nowMs());
      this.#options.enqueue(keyOf(deployment));
    });
    const { uid } = deployment.metadata;
    const made = { uid, pools, benchmark, collector: initialCollector, dueMs: 0, busy: false, parsed: undefined };
    this.#scaled.set(key, made);
    return made;
  }

  *#views(): Generator<{ readonly key: string; readonly pool: PoolName; readonly scaler: PoolScaler }> {
    for (const [key, { pools }] of this.#scaled) for (const [pool, scaler] of pools) yield { key, pool, scaler };
  }

  get #intervals(): { readonly steady: number; readonly fast: number } {
    return this.#options.everyMs ?? { steady: 5_000, fast: 1_000 };
  }

  #nowMs(): number {
    return (this.#options.now?.() ?? new Date()).getTime();
  }
}

/** Undefined: a spec that this version does not know. */
function specOf({ metadata: { generation }, spec }: Live<R2RDeployment>, entry: Scaled): R2RDeploymentSpec | undefined {
  if (entry.parsed && entry.parsed.generation === generation) return entry.parsed.spec;
  const parsed = specSchema.safeParse(spec);
  if (!parsed.success) return undefined;
  entry.parsed = { generation, spec: parsed.data };
  return parsed.data;
}

function fact(pod: Live<Pod>): PodFact {
  const { uid, creationTimestamp = '', deletionTimestamp } = pod.metadata;
  return { id: uid, ready: isReady(pod), terminating: deletionTimestamp !== undefined, createdAtMs: Date.parse(creationTimestamp) || 0 };
}
