import { createHash } from 'node:crypto';
import { canonicalJson } from '../../api/canonical-json.ts';
import { setConditions } from '../../api/conditions.ts';
import { routerSpecSchema } from '../../api/r2rrouter.ts';
import type { R2RRouter } from '../../api/r2rrouter.ts';
import { routerReasons } from '../../api/r2rrouter-status.ts';
import type { R2RRouterStatus } from '../../api/r2rrouter-status.ts';
import { routerLabelKeys } from '../../api/r2rrouter-names.ts';
import { OwnWrites, configMaps, ensureStatus, jobs as jobType, keyOf, keyString } from '../../kube/index.ts';
import type { EventRecorder, KubeClient, Live, ObjectKey, Result } from '../../kube/index.ts';
import { OverlayError, RouterSpecError, jobsNetworkPolicy, stepObjects, workspaceObject } from '../../manifests/index.ts';
import type { JobPodInput, RouterJobOptions } from '../../manifests/index.ts';
import { r2rRouters } from '../resource-types.ts';
import { specProblem } from '../spec-problem.ts';
import type { Problem } from '../pod-problem.ts';
import { podsOfJobs } from './caches.ts';
import type { Caches } from '../caches.ts';
import { followersNow } from './followers.ts';
import { ChildInTheWayError, ChildRefusedError } from '../refusals.ts';
import { amend, keep, makeOnce } from '../making.ts';
import { claimChange } from './workspace-claim.ts';
import { noteRouterChanges } from './notes.ts';
import { observeJob } from './observation.ts';
import type { ObservedJob } from './observation.ts';
import { plan } from './plan.ts';
import type { Plan } from './plan.ts';
import type { ProgressClient } from './progress-client.ts';
import { ProgressScraper, scrapeMs } from './progress-scraper.ts';
import { rollOut } from './rollout.ts';

export interface RouterReconcilerOptions {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly recorder: EventRecorder;
  readonly progress: ProgressClient;
  readonly render: RouterJobOptions;
  /** Wall clock. */
  readonly now?: () => Date;
}

/** How soon to try again what the API server refuses for good: a quota may grow. */
const refusedMs = 30_000;

/**
 * Brings one R2RRouter on: looks at its Jobs, plans (pure), makes and removes Jobs, decides which deployment gets which bundle, and writes the
 * status once. All it needs to know is in the cluster, so another replica can go on at any point.
 */
export class R2RRouterReconciler {
  readonly #options: RouterReconcilerOptions;
  readonly #scraper: ProgressScraper;
  readonly #written: OwnWrites<R2RRouter>;

  constructor(options: RouterReconcilerOptions) {
    this.#options = options;
    this.#written = new OwnWrites(options.caches.routers);
    this.#scraper = new ProgressScraper(options.progress, () => this.#now());
  }

  readonly reconcile = async (key: ObjectKey, signal: AbortSignal): Promise<Result | undefined> => {
    const cached = this.#options.caches.routers.get(key);
    if (!cached || cached.metadata.deletionTimestamp) {
      this.#scraper.forget(keyString(key));
      return undefined;
    }
    const live = this.#written.latest(cached);
    const parsed = routerSpecSchema.safeParse(live.spec);
    if (!parsed.success) return this.#stall(live, specProblem(parsed.error), signal);
    const router: Live<R2RRouter> = { ...live, spec: parsed.data };
    const jobs = await this.#observe(router, signal);
    let planned: Plan;
    let problem: Problem | undefined;
    try {
      planned = plan({ router, jobs, now: this.#now() });
      problem = await this.#act(router, planned, signal);
    } catch (error) {
      if (error instanceof ChildInTheWayError) return { requeueAfterMs: 1_000 };
      if (!(error instanceof RouterSpecError || error instanceof OverlayError)) throw error;
      return this.#stall(live, { reason: routerReasons.specInvalid, message: error.message }, signal);
    }
    const { status, atMs } = this.#withRollout(router, planned);
    await this.#write(live, problem ? refused(status, problem, live.metadata.generation ?? 0, this.#now()) : status, signal);
    return { requeueAfterMs: problem ? refusedMs : this.#nextMs(status, atMs) };
  };

  async #observe(router: Live<R2RRouter>, signal: AbortSignal): Promise<readonly ObservedJob[]> {
    const { caches } = this.#options;
    const pods = podsOfJobs(caches, router.metadata);
    const jobs = caches.jobs.ownedBy(router.metadata.uid).map((job) => ({ job, pods: pods.get(job.metadata.uid) ?? [] }));
    const progress = await this.#scraper.progress(keyString(keyOf(router)), jobs, signal);
    return jobs.flatMap(({ job, pods: of }, index) => observeJob(job, of, progress[index]) ?? []);
  }

  /** Does what the plan says. @returns why the API server refuses it */
  async #act(router: Live<R2RRouter>, { create, remove, status }: Plan, signal: AbortSignal): Promise<Problem | undefined> {
    const { client, caches, render } = this.#options;
    const { namespace } = router.metadata;
    const access = { client, caches };
    for (const { name, uid } of remove) {
      // Foreground: the Job's name is taken until its pods are gone, so that no two write at once.
      await client.delete(jobType, { namespace, name }, { uid, propagation: 'Foreground', signal });
    }
    await this.#dropOldFiles(router, status, signal);
    try {
      // Rendered before anything is made: an overlay that cannot be merged makes nothing.
      const objects = create.flatMap((identity) => stepObjects(this.#jobInput(router, identity, status), render));
      if (objects.length > 0 || status.steps?.some(({ state }) => state === 'Pending' || state === 'Running')) {
        await keep(access, router, jobsNetworkPolicy(router, render), signal);
        await this.#keepWorkspace(router, signal);
      }
      for (const object of objects) await makeOnce(access, router, object, signal);
      return undefined;
    } catch (error) {
      if (error instanceof ChildRefusedError) return error.problem;
      throw error;
    }
  }

  /** The bundling step is told what is in use: to compare the new bundle with, and not to clear away. */
  #jobInput(router: Live<R2RRouter>, identity: Plan['create'][number], { bundle, history = [], steps = [] }: R2RRouterStatus): JobPodInput {
    if (identity.step !== 'bundle') return { router, identity };
    const retain = history.map(({ digest }) => digest);
    return { router, identity, ...(bundle && { current: bundle.uri }), retain, currentSteps: steps.flatMap(({ hash }) => hash ?? []) };
  }

  /** The claim is made once; whether it goes with the router may change later, and it may grow. */
  async #keepWorkspace(router: Live<R2RRouter>, signal: AbortSignal): Promise<void> {
    const { client, caches } = this.#options;
    const claim = workspaceObject(router);
    if (!claim) return;
    if (await makeOnce({ client, caches }, router, claim, signal)) return;
    const live = caches.claims.get({ namespace: router.metadata.namespace, name: claim.metadata.name });
    const change = live && claimChange(live, router);
    if (change) await amend({ client, caches }, live, change, signal);
  }

  /** ConfigMaps of Jobs that are gone and of steps that nobody wants any more. */
  async #dropOldFiles(router: Live<R2RRouter>, { steps = [] }: R2RRouterStatus, signal: AbortSignal): Promise<void> {
    const { client, caches } = this.#options;
    const { namespace, uid } = router.metadata;
    const needed = new Set([
      ...steps.map(({ hash }) => hash),
      ...caches.jobs.ownedBy(uid).map(({ metadata }) => metadata.labels?.[routerLabelKeys.hash]),
    ]);
    for (const { metadata } of caches.children.get('v1/ConfigMap')?.ownedBy(uid) ?? []) {
      const hash = metadata.labels?.[routerLabelKeys.hash];
      if (metadata.deletionTimestamp || hash === undefined || needed.has(hash)) continue;
      await client.delete(configMaps, { namespace, name: metadata.name }, { uid: metadata.uid, signal });
    }
  }

  #withRollout(router: Live<R2RRouter>, planned: Plan): { readonly status: R2RRouterStatus; readonly atMs: number | undefined } {
    const { spec, status: before, metadata } = router;
    const now = this.#now();
    const { generation = 0 } = metadata;
    const rollout = rollOut({
      followers: followersNow(this.#options.caches, router),
      before: before?.deployments ?? [],
      offered: planned.status.bundle?.digest,
      observeSeconds: spec.rollout.observeSeconds,
      specHash: createHash('sha256').update(canonicalJson(spec.rollout)).digest('hex').slice(0, 16),
      now,
    });
    const { deployments: _, ...status } = planned.status;
    const times = [planned.atMs, rollout.atMs].filter((each) => each !== undefined);
    return {
      status: {
        ...status,
        conditions: setConditions(status.conditions, [rollout.condition], generation, now),
        ...(rollout.followers.length > 0 && { deployments: rollout.followers.slice(0, 1000) }),
      },
      atMs: times.length > 0 ? Math.min(...times) : undefined,
    };
  }

  /** Nothing can be rendered: Jobs that run go on, deployments keep their bundle, the status says why. */
  async #stall(live: Live<R2RRouter>, problem: Problem, signal: AbortSignal): Promise<Result> {
    const generation = live.metadata.generation ?? 0;
    await this.#write(
      live,
      refused({ ...live.status, observedGeneration: generation, phase: 'Failed' }, problem, generation, this.#now()),
      signal,
    );
    return {};
  }

  async #write(live: Live<R2RRouter>, status: R2RRouterStatus, signal: AbortSignal): Promise<void> {
    // What was decided goes on from the status before: from an old one it could give back a bundle that has just been taken away.
    const { resourceVersion } = live.metadata;
    const written = await ensureStatus(this.#options.client, r2rRouters, status, live, { signal, resourceVersion });
    if (!written) return;
    this.#written.written(written);
    noteRouterChanges(this.#options.recorder, live, live.status, status);
  }

  /** In how many ms to look again. */
  #nextMs({ steps = [] }: R2RRouterStatus, atMs: number | undefined): number | undefined {
    const due = atMs === undefined ? undefined : Math.max(1_000, atMs - this.#now().getTime());
    return steps.some(({ state }) => state === 'Running') ? Math.min(scrapeMs, due ?? scrapeMs) : due;
  }

  #now(): Date {
    return this.#options.now?.() ?? new Date();
  }
}

/** A status that also says what only a change of the spec or of the cluster mends. */
function refused(status: R2RRouterStatus, problem: Problem, generation: number, now: Date): R2RRouterStatus {
  const conditions = [
    { type: 'Reconciling', status: 'False', reason: problem.reason, message: 'see condition Stalled' },
    { type: 'Stalled', status: 'True', ...problem },
    { type: 'JobsReady', status: 'False', ...problem },
    ...(status.bundle ? [] : [{ type: 'Ready', status: 'False', ...problem } as const]),
  ] as const;
  return { ...status, conditions: setConditions(status.conditions, conditions, generation, now) };
}
