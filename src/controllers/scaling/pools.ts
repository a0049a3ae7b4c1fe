import { reasons, setConditions } from '../../api/conditions.ts';
import { labelKeys } from '../../api/names.ts';
import type { PoolsInForce } from '../../api/pools.ts';
import type { R2RDeployment } from '../../api/r2rdeployment.ts';
import type { R2RDeploymentStatus } from '../../api/r2rdeployment-status.ts';
import type { DrainStatus, PoolScalingStatus, ScalingStatus } from '../../api/scaling-status.ts';
import { keyOf, keyString } from '../../kube/index.ts';
import type { Live, ObjectKey } from '../../kube/index.ts';
import { podsOfInstance } from '../caches.ts';
import { noteEditedReplicas } from '../notes.ts';
import type { Problem } from '../pod-problem.ts';
import { scalingCondition } from './condition.ts';
import { liveLlmReplicas, settleLlmPool } from './llm-pool.ts';
import type { LlmPoolOptions, SettledLlmPool } from './llm-pool.ts';
import { gpusOf, gpusPerReplica } from './policy.ts';
import type { PoolName } from './policy.ts';
import type { PoolScaler } from './pool-scaler.ts';

/** How soon to look again while a pod is being drained, in ms: nothing tells when a router has let go of it. */
const drainPollMs = 500;

/** Where the decisions are made. */
export interface Scalers {
  /** Of one pool that has autoscaling; made from the status before, where it is not there yet. Others are forgotten. */
  of(deployment: Live<R2RDeployment>, pool: PoolName): PoolScaler | undefined;
  forget(key: ObjectKey): void;
}

export interface SettledPools {
  /** With the replicas that are wanted in `spec`, whoever decides them, and what routers and children are told in `spec.pools`. */
  readonly deployment: Live<R2RDeployment>;
  /** The status with what is to be said of scaling. */
  told(status: R2RDeploymentStatus, now: Date): R2RDeploymentStatus;
  /** Undefined: nothing is under way. */
  readonly requeueAfterMs: number | undefined;
}

/** Brings the pools of a deployment to the size that is wanted, whether by autoscaling or by whoever writes `replicas`. */
export class Pools {
  readonly #options: LlmPoolOptions & { readonly scalers: Scalers };
  /** Replicas that this process gave the LLM child last, by key: a child that has others was edited by somebody. */
  readonly #given = new Map<string, number>();

  constructor(options: LlmPoolOptions & { readonly scalers: Scalers }) {
    this.#options = options;
  }

  forget(key: ObjectKey): void {
    this.#given.delete(keyString(key));
    this.#options.scalers.forget(key);
  }

  /** @param target - revision of the present spec */
  async settle(deployment: Live<R2RDeployment>, target: string, now: Date, signal: AbortSignal): Promise<SettledPools> {
    const { scalers } = this.#options;
    const { spec } = deployment;
    const [llm, slm] = [scalers.of(deployment, 'llm'), scalers.of(deployment, 'slm')];
    const bounded = (pool: PoolName, scaler: PoolScaler | undefined): number => {
      const { autoscaling, replicas } = spec[pool];
      return autoscaling && scaler ? Math.min(autoscaling.maxReplicas, Math.max(autoscaling.minReplicas, scaler.wanted)) : replicas;
    };
    const room = this.#room(deployment, target);
    const live = liveLlmReplicas(this.#options, deployment, target) ?? 0;
    // What is wanted must be there before a new revision answers: no more than fits beside the old one, but one at least. Those that
    // are there already stay.
    const wanted = Math.min(bounded('llm', llm), Math.max(1, room, live));
    const mayHold = spec.llm.autoscaling?.minReplicas === 0 && llm?.shown?.reason !== 'InsufficientCapacity';
    const settled = await settleLlmPool(this.#options, deployment, target, { wanted, mayHold }, now.getTime(), signal);
    const llmReplicas = room < 1 && live === 0 ? 0 : settled.llmReplicas;
    const pools: PoolsInForce = {
      llmReplicas,
      drainingPodUIDs: settled.drainingPodUIDs,
      llmScaledToZero: settled.llmScaledToZero,
      ...this.#growth(deployment, target, { wanted, scaler: llm }),
      changing: this.#isChanging(deployment, { ...settled, llmReplicas }),
      ...(llmReplicas < wanted && { llmProblem: noRoom(deployment) }),
    };
    const slmReplicas = bounded('slm', slm);
    const status: ScalingStatus = {
      ...poolStatus('llm', llm?.status, settled.drains),
      ...poolStatus('slm', slm?.status, []),
    };
    const condition = scalingCondition(spec, { llm: llm?.shown, slm: slm?.shown });
    return {
      deployment: {
        ...deployment,
        spec: { ...spec, llm: { ...spec.llm, replicas: wanted }, slm: { ...spec.slm, replicas: slmReplicas }, pools },
      },
      told: (before, at) => ({
        ...before,
        conditions: setConditions(before.conditions, [condition], deployment.metadata.generation ?? 0, at),
        ...(Object.keys(status).length > 0 && { scaling: status }),
      }),
      requeueAfterMs: settled.drains.length > 0 ? drainPollMs : undefined,
    };
  }

  /** LLM replicas of a revision for which the GPU budget has room beside the pods of others, or beside `others` replicas where these are to be more. */
  #room(deployment: Live<R2RDeployment>, revision: string, others = 0): number {
    const { spec, metadata } = deployment;
    const { gpuBudget } = spec.llm.autoscaling ?? {};
    const gpus = gpusPerReplica('llm', spec);
    if (gpuBudget === undefined || gpus === 0) return Infinity;
    return Math.floor((gpuBudget - Math.max(others * gpus, otherGpus(this.#options, metadata, revision))) / gpus);
  }

  /**
   * What the revision that answers gets beside the target: its clients do not wait for the roll-out to end, which may take long, or never
   * come. Of a budget the target's share is left out.
   */
  #growth(
    deployment: Live<R2RDeployment>,
    target: string,
    { wanted, scaler }: { readonly wanted: number; readonly scaler: PoolScaler | undefined },
  ): Pick<PoolsInForce, 'servingLlmReplicas'> {
    const serving = deployment.status?.revision?.serving;
    if (!scaler || !serving || serving === target) return {};
    const live = liveLlmReplicas(this.#options, deployment, serving);
    // one that cannot get more has to answer with what it has, but not with nothing
    const grown = Math.max(1, Math.min(scaler.wanted, this.#room(deployment, serving, wanted)));
    return live !== undefined && scaler.wanted > live && grown > live ? { servingLlmReplicas: grown } : {};
  }

  /** Remembers what the children are given, and tells whether that is another thing than they were given before. */
  #isChanging(
    deployment: Live<R2RDeployment>,
    { liveReplicas, llmReplicas, told, drainingPodUIDs, llmScaledToZero }: SettledLlmPool,
  ): boolean {
    const key = keyString(keyOf(deployment));
    const given = this.#given.get(key);
    this.#given.set(key, llmReplicas);
    const ours = given === undefined || liveReplicas === undefined || given === liveReplicas;
    // more than are wanted go one after the other, which no longer looks like a correction
    const isDrained = drainingPodUIDs.length > 0 || told.drainingPodUIDs.length > 0;
    if (!ours && isDrained) noteEditedReplicas(this.#options.recorder, deployment, liveReplicas, deployment.spec.llm.replicas);
    const otherList = [...drainingPodUIDs].sort().join() !== [...told.drainingPodUIDs].sort().join();
    return (ours && liveReplicas !== llmReplicas) || otherList || llmScaledToZero !== told.llmScaledToZero;
  }
}

/** GPUs that the LLM pods of other revisions hold, those that are ending included. */
export function otherGpus({ caches }: Pick<LlmPoolOptions, 'caches'>, metadata: ObjectKey, revision: string, component = 'llm'): number {
  return podsOfInstance(caches, metadata)
    .filter(({ metadata: { labels } }) => labels?.[labelKeys.component] === component && labels[labelKeys.revision] !== revision)
    .reduce((total, pod) => total + gpusOf(pod), 0);
}

function noRoom({ spec }: R2RDeployment): Problem {
  const { gpuBudget } = spec.llm.autoscaling ?? {};
  return {
    reason: reasons.insufficientCapacity,
    message: `spec.llm.autoscaling.gpuBudget: the ${gpuBudget} GPUs are in use by the revision that answers; raise it for the time of the roll-out`,
  };
}

/** A pool of which there is nothing to say is left out. */
function poolStatus(pool: PoolName, scaled: PoolScalingStatus | undefined, drains: readonly DrainStatus[]): ScalingStatus {
  if (!scaled && drains.length === 0) return {};
  return { [pool]: { ...scaled, ...(drains.length > 0 && { drains: [...drains] }) } };
}
