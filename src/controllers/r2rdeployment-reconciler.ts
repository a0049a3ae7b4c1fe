import { findCondition, isTrue, reasons, setConditions } from '../api/conditions.ts';
import type { ConditionType } from '../api/conditions.ts';
import { labelKeys } from '../api/names.ts';
import { specSchema } from '../api/r2rdeployment.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import type { R2RDeploymentStatus } from '../api/r2rdeployment-status.ts';
import { routerConfigDigest } from '../api/router-config.ts';
import { OwnWrites, ensureStatus, keyOf, keyString } from '../kube/index.ts';
import type { EventRecorder, KubeClient, Live, ObjectKey, ReconcileContext, Result } from '../kube/index.ts';
import { OverlayError, routerConfig } from '../manifests/index.ts';
import type { RenderOptions } from '../manifests/index.ts';
import { childrenOf } from './caches.ts';
import { r2rDeployments } from './resource-types.ts';
import type { Caches } from './caches.ts';
import { retireRevision } from './children.ts';
import { ChildInTheWayError, ChildRefusedError } from './refusals.ts';
import type { AppliedChild } from './children.ts';
import { missingKind } from './leader-worker-sets.ts';
import type { OperatorMetrics } from './metrics.ts';
import { ModelCache, awaitingModels, keptModels, withModels } from './models/index.ts';
import type { ModelsState } from './models/index.ts';
import type { ProgressClient } from './router/progress-client.ts';
import { specProblem } from './spec-problem.ts';
import type { Problem } from './pod-problem.ts';
import { RevisionApplier } from './revision-applier.ts';
import { planPods, withSuspension } from './pod-plan.ts';
import type { PodPlan } from './pod-plan.ts';
import { noteChanges } from './notes.ts';
import { rolloutStep } from './rollout.ts';
import type { RolloutStep } from './rollout.ts';
import type { RouterClient } from './router-client.ts';
import { withOffer } from './router-reference.ts';
import { PollPause } from './poll-pause.ts';
import { QuietLooks, askedOnce } from './quiet-looks.ts';
import { suspendedPools } from './scaling/index.ts';
import type { Pools } from './scaling/index.ts';
import { computeStatus } from './status.ts';
import { StatusPace } from './status-pace.ts';
import { endpointSchemes, observe, revisionStates } from './world.ts';

export interface ReconcilerOptions {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly recorder: EventRecorder;
  readonly routers: RouterClient;
  readonly render: RenderOptions;
  readonly operatorMetrics: OperatorMetrics;
  /** How downloads are asked how far they are. Left out: they are not. */
  readonly progress?: ProgressClient | undefined;
  /** Settles how many pods there are to be. */
  readonly pools: Pools;
  /** Wall clock, for transition times and for how often routing numbers are written. */
  readonly now?: () => Date;
}

/** Routing numbers are written at most this often, in ms. */
const routingWriteMs = 30_000;

/**
 * Makes children fit one R2RDeployment: reads the world from caches, renders what should be (pure), applies what differs, moves the
 * endpoint when the new revision has answered, and writes the status once. Everything it needs to know is in the cluster, so another
 * replica can go on at any point.
 */
export class R2RDeploymentReconciler {
  readonly #options: ReconcilerOptions;
  readonly #revisions: RevisionApplier;
  readonly #models: ModelCache;
  /** When routing numbers were last written, by key. Lost on a restart, which costs one early write. */
  readonly #routingWritten = new Map<string, number>();
  readonly #written: OwnWrites<R2RDeployment>;
  readonly #pace = new StatusPace();
  readonly #pause = new PollPause();
  readonly #quiet: QuietLooks;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#written = new OwnWrites(options.caches.r2r);
    this.#revisions = new RevisionApplier(options);
    this.#models = new ModelCache(options);
    this.#quiet = new QuietLooks(options.caches);
  }

  readonly reconcile = async (key: ObjectKey, signal: AbortSignal, { logger }: ReconcileContext): Promise<Result | undefined> => {
    const { caches } = this.#options;
    const cached = caches.r2r.get(key);
    if (!cached || cached.metadata.deletionTimestamp) {
      this.#routingWritten.delete(keyString(key));
      this.#revisions.forget(key);
      for (const memory of [this.#pace, this.#pause, this.#quiet]) memory.forget(keyString(key));
      this.#models.forget(key);
      this.#options.pools.forget(key);
      return undefined;
    }

    const live = this.#written.latest(cached);
    const id = keyString(key);
    const routers = askedOnce(this.#options.routers);
    const seen = this.#quiet.seen(live);
    if (await this.#quiet.foundNothing(id, live, seen, routers, signal))
      return { requeueAfterMs: this.#pause.nextMs(id, { isUnderWay: false, changed: false, routers: [] }) };

    const parsed = specSchema.safeParse(live.spec);
    if (!parsed.success) return this.#stall(live, specProblem(parsed.error), signal);
    const routerRef = parsed.data.router.checkpoint?.routerRef;
    const router = routerRef && caches.routers.get({ namespace: key.namespace, name: routerRef.name });
    const resolution = withOffer<Live<R2RDeployment>>({ ...live, spec: parsed.data }, router);
    if (resolution.problem) return this.#stall(live, resolution.problem, signal, ['RouterReady']);
    const { awaitedBundle } = resolution;
    let plan: PodPlan;
    try {
      plan = planPods(caches, this.#revisions, withSuspension(resolution.deployment), this.#now());
    } catch (error) {
      if (!(error instanceof OverlayError)) throw error;
      return this.#stall(live, { reason: reasons.specInvalid, message: error.message }, signal);
    }

    const { target } = plan;
    const pools = resolution.deployment.spec.suspend
      ? suspendedPools(resolution.deployment)
      : await this.#options.pools.settle(resolution.deployment, target, this.#now(), signal);
    const { deployment } = pools;
    let stalled: Problem | undefined;
    let applied: AppliedChild[] = [];
    let models: ModelsState | undefined;
    let awaitsModels = false;
    try {
      models = await this.#models.bring(deployment, signal);
      // once its pods have been made, a revision goes on: its models were there
      awaitsModels = models?.problem !== undefined && !this.#revisions.exists(deployment, target);
      if (plan.pods && !awaitsModels) applied = await this.#revisions.apply(deployment, plan.pods, plan.replicasOf(deployment), signal);
    } catch (error) {
      if (error instanceof OverlayError) return this.#stall(live, { reason: reasons.specInvalid, message: error.message }, signal);
      if (error instanceof ChildInTheWayError) {
        logger.info({ reason: error.message }, 'waiting for garbage collection');
        return { requeueAfterMs: 500 };
      }
      if (!(error instanceof ChildRefusedError)) throw error;
      stalled = error.problem;
    }
    // what answers stays until the models of what is to take its place are there
    const waits = awaitsModels && deployment.spec.rollout.strategy === 'InPlace';
    const rollout = stalled || waits ? undefined : await this.#rollOut(deployment, plan, applied, signal);
    const llmProblem = plan.pods && missingKind(caches, deployment, plan.pods.templates);
    stalled ??= rollout?.stalled ?? llmProblem;
    const observation = await observe(
      { caches, routers },
      {
        deployment,
        target,
        paused: plan.paused,
        serving: rollout?.step.serve ?? deployment.status?.revision?.serving ?? target,
        configDigest: routerConfigDigest(routerConfig(deployment)),
        applied: applied.map(({ object }) => object),
        awaitedBundle,
        llmProblem,
        probeProblem: rollout?.probeProblem,
        stalled,
        now: this.#now(),
      },
      signal,
    );
    const computed = computeStatus(awaitsModels ? awaitingModels(observation, models) : observation, deployment.status);
    const holding = this.#holdRouting(deployment, computed);
    const held = pools.told(holding, this.#now());
    const status = models || !stalled ? withModels(held, models, observation.generation, this.#now()) : keptModels(held, deployment.status);
    const waitMs = this.#pace.waitMs(id, this.#now().getTime(), live.status, status);
    // what is known of downloads goes on from the status before, which must not be an old one
    const resourceVersion = models && deployment.metadata.resourceVersion;
    const changed = waitMs > 0 || (await this.#write(deployment, status, signal, resourceVersion));
    const pauseMs = this.#pause.nextMs(id, { isUnderWay: isUnderWay(status) && !awaitsModels, changed, routers: observation.routers });
    const isWritten = !changed && waitMs === 0 && holding === computed;
    if (isWritten && !models && pools.requeueAfterMs === undefined)
      await this.#quiet.hadNothingToDo(id, live, seen, status, routers, signal);
    else this.#quiet.forget(id);
    const timesMs = [pauseMs, models?.requeueAfterMs, pools.requeueAfterMs, waitMs > 0 ? waitMs : undefined];
    return { requeueAfterMs: Math.min(...timesMs.filter((each) => each !== undefined)) };
  };

  /** Moves the endpoint and takes old revisions down, as far as it is time for that. */
  async #rollOut(
    deployment: Live<R2RDeployment>,
    { target, serving, pods }: PodPlan,
    applied: readonly AppliedChild[],
    signal: AbortSignal,
  ): Promise<{ step: RolloutStep; probeProblem: string | undefined; stalled: Problem | undefined }> {
    const { caches, routers } = this.#options;
    const { name, uid } = deployment.metadata;
    const { strategy } = deployment.spec.rollout;
    const revisions = revisionStates(
      caches,
      deployment,
      target,
      applied.map(({ object }) => object),
      this.#now(),
    );
    const wantsRouters = deployment.spec.slm.replicas > 0;
    let step = rolloutStep({ strategy, target, wantsRouters, serving, revisions, probed: false });
    let probeProblem: string | undefined;
    if (step.probe) {
      const address = revisions.find(({ revision }) => revision === target)?.routerAddresses[0];
      const model = deployment.spec.router.modelName ?? name;
      probeProblem = address
        ? await routers.probe(address, model, deployment.spec.llm.replicas > 0, signal)
        : 'no router of the new revision has an address yet';
      this.#options.operatorMetrics.probes.inc({ result: probeProblem === undefined ? 'ok' : 'failed' });
      step = rolloutStep({ strategy, target, wantsRouters, serving, revisions, probed: probeProblem === undefined });
    }
    if (serving && serving !== target && step.serve === serving) await this.#revisions.restore(deployment, serving, signal);
    try {
      await this.#revisions.applyEndpoint(deployment, step.serve, endpointSchemes(caches, deployment, step.serve), signal);
      if (serving && step.serve !== serving) this.#options.operatorMetrics.rollouts.inc();
    } catch (error) {
      if (!(error instanceof ChildRefusedError)) throw error;
      return { step, probeProblem, stalled: error.problem };
    }
    for (const { revision, what } of step.retire) {
      await retireRevision(
        this.#options,
        deployment,
        revision,
        ({ type, object }) => what === 'everything' || isRouterDeployment(type.kind, object),
        signal,
      );
    }
    if (step.serve === target && step.retire.length === 0 && pods) await this.#dropOldRecords(pods.record, uid, signal);
    return { step, probeProblem, stalled: undefined };
  }

  /** Records of this revision that a change of the router's image has replaced. */
  async #dropOldRecords(current: string, uid: string, signal: AbortSignal): Promise<void> {
    for (const { type, object } of childrenOf(this.#options.caches, uid)) {
      if (type.kind !== 'ControllerRevision' || object.metadata.name === current) continue;
      const { namespace, name } = object.metadata;
      await this.#options.client.delete(type, { namespace, name }, { uid: object.metadata.uid, signal });
    }
  }

  /** Keeps the routing numbers of the status before until they are old enough to be written again. */
  #holdRouting(deployment: Live<R2RDeployment>, next: R2RDeploymentStatus): R2RDeploymentStatus {
    const key = keyString(keyOf(deployment));
    const nowMs = this.#now().getTime();
    const previous = deployment.status;
    if (!previous?.routing || nowMs - (this.#routingWritten.get(key) ?? -Infinity) >= routingWriteMs) {
      if (next.routing) this.#routingWritten.set(key, nowMs);
      return next;
    }
    const { llmRatio, tokensPerSecond, params } = previous.summary ?? {};
    return {
      ...next,
      routing: previous.routing,
      summary: {
        ...next.summary,
        ...(llmRatio !== undefined && { llmRatio }),
        ...(tokensPerSecond !== undefined && { tokensPerSecond }),
        ...(params !== undefined && { params }),
      },
    };
  }

  /** Nothing can be rendered: children keep running as they are, the status says why. @param parts - whose matter it is */
  async #stall(live: Live<R2RDeployment>, problem: Problem, signal: AbortSignal, parts: readonly ConditionType[] = []): Promise<Result> {
    const generation = live.metadata.generation ?? 0;
    const status: R2RDeploymentStatus = {
      ...live.status,
      observedGeneration: generation,
      conditions: setConditions(
        live.status?.conditions,
        [
          { type: 'Ready', status: 'False', ...problem },
          { type: 'Reconciling', status: 'False', reason: problem.reason, message: 'see condition Stalled' },
          { type: 'Stalled', status: 'True', ...problem },
          ...parts.map((type) => ({ type, status: 'False' as const, ...problem })),
        ],
        generation,
        this.#now(),
      ),
    };
    await this.#write(live, status, signal);
    return {};
  }

  /** Resolves to whether there was anything to write. */
  async #write(live: Live<R2RDeployment>, status: R2RDeploymentStatus, signal: AbortSignal, resourceVersion?: string): Promise<boolean> {
    const written = await ensureStatus(this.#options.client, r2rDeployments, status, live, { signal, resourceVersion });
    if (!written) return false;
    this.#written.written(written);
    this.#pace.written(keyString(keyOf(live)), this.#now().getTime());
    noteChanges(this.#options.recorder, live, live.status, status);
    return true;
  }

  #now(): Date {
    return this.#options.now?.() ?? new Date();
  }
}

/** Pods are being rolled out, routers are taking over a configuration or a checkpoint, or a kind is missing of whose arrival nothing tells. */
function isUnderWay({ conditions }: R2RDeploymentStatus): boolean {
  const reasonOf = (type: ConditionType): string => findCondition(conditions, type)?.reason ?? '';
  const taking: readonly string[] = [reasons.configurationPending, reasons.bundleLoading];
  return (
    isTrue(conditions, 'Reconciling') || taking.includes(reasonOf('RouterReady')) || reasonOf('Stalled') === reasons.leaderWorkerSetsMissing
  );
}

function isRouterDeployment(kind: string, { metadata }: Live): boolean {
  return kind === 'Deployment' && metadata.labels?.[labelKeys.component] === 'slm';
}
