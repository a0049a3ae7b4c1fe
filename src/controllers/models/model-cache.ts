import { cachedModels, modelCacheClaim, modelCacheOf } from '../../api/cached-models.ts';
import type { CachedModel } from '../../api/cached-models.ts';
import type { ModelCacheStatus, ModelStatus } from '../../api/model-cache-status.ts';
import { modelJobComponent, modelJobsPolicyName } from '../../api/model-job-names.ts';
import { ownerReference } from '../../api/r2rdeployment.ts';
import type { R2RDeployment } from '../../api/r2rdeployment.ts';
import { apiVersionOf, jobs as jobType, keyOf, keyString, networkPolicies } from '../../kube/index.ts';
import type { KubeClient, Live, ObjectKey } from '../../kube/index.ts';
import { modelCacheObject, modelJob, modelJobInputs, modelJobsPolicy } from '../../manifests/index.ts';
import type { RenderOptions } from '../../manifests/index.ts';
import { informerOf, podsOfInstance } from '../caches.ts';
import type { Caches } from '../caches.ts';
import { keptClaimChange } from '../kept-claim.ts';
import { amend, keep, makeOnce } from '../making.ts';
import type { Problem } from '../pod-problem.ts';
import { byJob } from '../router/caches.ts';
import type { ProgressClient } from '../router/progress-client.ts';
import { ProgressScraper, scrapeMs } from '../router/progress-scraper.ts';
import { firstProblem, modelProblem } from './conditions.ts';
import { decideDownload } from './download-state.ts';
import type { DownloadDecision } from './download-state.ts';
import { observeDownload } from './observation.ts';
import type { ObservedDownload } from './observation.ts';

export interface ModelCacheOptions {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly render: RenderOptions;
  /** Left out: how far downloads are is not asked. */
  readonly progress?: ProgressClient | undefined;
  /** Wall clock. */
  readonly now?: () => Date;
}

/** How it stands with the models that a deployment downloads. */
export interface ModelsState {
  readonly status: ModelCacheStatus;
  /** Why not all are there; undefined when they are. */
  readonly problem: Problem | undefined;
  /** Only a person can help. */
  readonly stalled: boolean;
  /** By role, why its model is not there. */
  readonly byRole: Readonly<Record<'slm' | 'llm', Problem | undefined>>;
  /** When to look again, in ms, if nothing changes before. */
  readonly requeueAfterMs: number | undefined;
}

/** Has models on the hub downloaded to a deployment's cache, each by a Job. All it needs to know is in the cluster. */
export class ModelCache {
  readonly #options: ModelCacheOptions;
  readonly #scraper: ProgressScraper | undefined;

  constructor(options: ModelCacheOptions) {
    this.#options = options;
    this.#scraper = options.progress && new ProgressScraper(options.progress, () => this.#now());
  }

  forget(key: ObjectKey): void {
    this.#scraper?.forget(keyString(key));
  }

  /**
   * Brings the downloads on. Undefined where no model is on the hub.
   *
   * @throws ChildRefusedError, ChildInTheWayError, OverlayError, KubeError
   */
  async bring(deployment: Live<R2RDeployment>, signal: AbortSignal): Promise<ModelsState | undefined> {
    const models = cachedModels(deployment);
    const jobs = await this.#observe(deployment, signal);
    for (const job of jobs)
      if (job.phase === 'Active' && !models.some(({ hash }) => hash === job.hash)) await this.#remove(deployment, job, signal);
    if (models.length === 0) return undefined;
    const claimUID = await this.#keepClaim(deployment, signal);
    const now = this.#now();
    const decisions = models.map((model) =>
      decideDownload({
        model,
        before: recordOf(deployment, model),
        job: jobs.find(({ hash }) => hash === model.hash),
        wanted: modelJobInputs(deployment, claimUID),
        claimUID,
        generation: deployment.metadata.generation ?? 0,
        now,
      }),
    );
    await this.#act(deployment, models, decisions, claimUID, signal);
    return stateOf(deployment, models, decisions, jobs, now);
  }

  async #observe(deployment: Live<R2RDeployment>, signal: AbortSignal): Promise<readonly ObservedDownload[]> {
    const { caches } = this.#options;
    const owned = caches.jobs.ownedBy(deployment.metadata.uid);
    if (owned.length === 0) return [];
    const pods = byJob(podsOfInstance(caches, deployment.metadata, modelJobComponent));
    const jobs = owned.map((job) => ({ job, pods: pods.get(job.metadata.uid) ?? [] }));
    const progress = await this.#scraper?.progress(keyString(keyOf(deployment)), jobs, signal);
    return jobs.flatMap(({ job, pods: of }, index) => observeDownload(job, of, progress?.[index]) ?? []);
  }

  async #act(
    deployment: Live<R2RDeployment>,
    models: readonly CachedModel[],
    decisions: readonly DownloadDecision[],
    claimUID: string | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, caches, render } = this.#options;
    // Rendered before anything is done, also for Jobs that are to take another's place: an overlay that cannot be merged makes and ends none.
    const jobs = models.map((model, index) => {
      const { create, remove } = decisions[index] ?? { create: false };
      const job = create || remove ? modelJob(deployment, model, render, claimUID) : undefined;
      return create ? job : undefined;
    });
    await this.#keepPolicy(deployment, signal);
    for (const { remove } of decisions) if (remove) await this.#remove(deployment, remove, signal);
    for (const job of jobs) if (job) await makeOnce({ client, caches }, deployment, job, signal);
  }

  /** Foreground: the Job's name is taken until its pods are gone, so that no two write at once. */
  async #remove(
    { metadata: { namespace } }: Live<R2RDeployment>,
    { name, uid, deleting }: ObservedDownload,
    signal: AbortSignal,
  ): Promise<void> {
    if (deleting) return;
    await this.#options.client.delete(jobType, { namespace, name }, { uid, propagation: 'Foreground', signal });
  }

  /** The claim is made once; whether it goes with the deployment may change later, and it may grow. @returns its UID, if it is ours */
  async #keepClaim(deployment: Live<R2RDeployment>, signal: AbortSignal): Promise<string | undefined> {
    const { client, caches } = this.#options;
    const claim = modelCacheObject(deployment);
    if (!claim) return undefined;
    await makeOnce({ client, caches }, deployment, claim, signal);
    const key = { namespace: deployment.metadata.namespace, name: claim.metadata.name };
    const live = caches.claims.get(key);
    const { size, onDelete } = modelCacheOf(deployment.spec);
    const change = live && keptClaimChange(live, { size, onDelete, owner: ownerReference(deployment) });
    if (live && change) await amend({ client, caches }, live, change, signal);
    return (live ?? (await client.find(caches.claims.type, key, { signal })))?.metadata.uid;
  }

  async #keepPolicy(deployment: Live<R2RDeployment>, signal: AbortSignal): Promise<void> {
    const { client, caches, render } = this.#options;
    if (deployment.spec.networkPolicy.enabled) {
      await keep({ client, caches }, deployment, modelJobsPolicy(deployment, render), signal);
      return;
    }
    const { namespace, name, uid } = deployment.metadata;
    const informer = informerOf(caches, { apiVersion: apiVersionOf(networkPolicies), kind: networkPolicies.kind });
    const key = { namespace, name: modelJobsPolicyName(name) };
    const live = informer.get(key);
    if (live?.metadata.ownerReferences?.some((owner) => owner.uid === uid))
      await client.delete(informer.type, key, { uid: live.metadata.uid, signal });
  }

  #now(): Date {
    return this.#options.now?.() ?? new Date();
  }
}

/** What the status says of a model; what lay on another claim, or came from another hub, is another one. */
function recordOf({ status }: R2RDeployment, { address, model }: CachedModel): ModelStatus | undefined {
  return status?.modelCache?.models.find((each) => each.address === address && each.model === model);
}

function stateOf(
  deployment: R2RDeployment,
  models: readonly CachedModel[],
  decisions: readonly DownloadDecision[],
  jobs: readonly ObservedDownload[],
  now: Date,
): ModelsState {
  const each = models.map(({ hash, roles }, index) => {
    const status = decisions[index]?.status as ModelStatus;
    const job = jobs.find((one) => one.hash === hash);
    return { status, roles, problem: modelProblem(status, job?.phase === 'Active' ? job.problem : undefined) };
  });
  const problem = firstProblem(each);
  const ofRole = (role: 'slm' | 'llm') => each.find(({ roles }) => roles.includes(role))?.problem ?? problem;
  const dues = decisions.flatMap(({ atMs }) => (atMs === undefined ? [] : [Math.max(1_000, atMs - now.getTime())]));
  const underWay = each.some(({ status: { state } }) => state === 'Pending' || state === 'Downloading');
  return {
    status: { claim: modelCacheClaim(deployment), models: each.map(({ status }) => status) },
    problem,
    stalled: each.some(({ status: { state } }) => state === 'Failed'),
    byRole: { slm: ofRole('slm'), llm: ofRole('llm') },
    requeueAfterMs: underWay || dues.length > 0 ? Math.min(...dues, ...(underWay ? [scrapeMs] : [])) : undefined,
  };
}
