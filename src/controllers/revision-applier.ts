import { labelKeys, revisionNames, templateRecordName } from '../api/names.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { templateKey } from '../api/revision.ts';
import type { EventRecorder, KubeClient, Live, ResourceType } from '../kube/index.ts';
import type { ControllerRevision } from '../kube/resources.ts';
import { podTemplates, revisionChildren, routerConfig, templateRecord } from '../manifests/index.ts';
import type { KubeObject, PodTemplates, RenderOptions } from '../manifests/index.ts';
import { tiedToAccount } from './account.ts';
import type { Caches } from './caches.ts';
import { applyChild, retireRevision } from './children.ts';
import type { AppliedChild } from './children.ts';
import { noteChild } from './notes.ts';

export interface RevisionApplierOptions {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly recorder: EventRecorder;
  readonly render: RenderOptions;
}

/** Makes the children of one revision be what they should be. */
export class RevisionApplier {
  readonly #options: RevisionApplierOptions;

  constructor(options: RevisionApplierOptions) {
    this.#options = options;
  }

  /** The templates pinned for this spec, or freshly rendered ones (ADR 1). @throws OverlayError */
  templates(deployment: Live<R2RDeployment>): PodTemplates {
    const name = templateRecordName(deployment.metadata.name, templateKey(deployment.spec));
    const record = this.#options.caches.records.get({ namespace: deployment.metadata.namespace, name });
    return record ? pinned(record) : podTemplates(deployment, this.#options.render);
  }

  /**
   * Applies everything the present spec asks for, and removes what it no longer does.
   *
   * @throws ChildRefusedError, ChildInTheWayError, KubeError
   */
  async apply(deployment: Live<R2RDeployment>, revision: string, templates: PodTemplates, signal: AbortSignal): Promise<AppliedChild[]> {
    const desired = [templateRecord(deployment, revision, templates), ...this.#children(deployment, revision, templates)];
    const applied = await this.#applyAll(deployment, revision, desired, signal);
    const wanted = new Set(desired.map(({ kind, metadata }) => `${kind}/${metadata.name}`));
    const isLeftOver = ({ type, object }: { type: ResourceType; object: Live }): boolean =>
      type.kind !== 'ControllerRevision' && !wanted.has(`${type.kind}/${object.metadata.name}`);
    await retireRevision(this.#options, deployment, revision, isLeftOver, signal);
    return applied;
  }

  /**
   * Makes deleted children of the revision that still answers again, from its pinned templates. What exists stays as it is: the spec it
   * came from is gone. Only an LLM pool at zero gets a replica when somebody waits for it.
   */
  async restore(deployment: Live<R2RDeployment>, revision: string, signal: AbortSignal): Promise<void> {
    const { caches } = this.#options;
    const records = caches.records
      .ownedBy(deployment.metadata.uid)
      .filter((record) => record.metadata.labels?.[labelKeys.revision] === revision);
    // RFC 3339 times sort as text
    const record = records.sort((a, b) => ((a.metadata.creationTimestamp ?? '') < (b.metadata.creationTimestamp ?? '') ? -1 : 1)).at(-1);
    if (!record) return;
    const { llm } = revisionNames(deployment.metadata.name, revision);
    const wakes = deployment.spec.pools?.wakeServing === true;
    const wanted = this.#children(deployment, revision, pinned(record), wakes ? 1 : undefined).filter(({ apiVersion, kind, metadata }) => {
      const key = { namespace: deployment.metadata.namespace, name: metadata.name };
      return (wakes && kind === 'Deployment' && metadata.name === llm) || !caches.children.get(`${apiVersion}/${kind}`)?.get(key);
    });
    await this.#applyAll(deployment, revision, wanted, signal);
  }

  /** All children of a revision but its record, with the present spec's replicas and router configuration. */
  #children(deployment: Live<R2RDeployment>, revision: string, templates: PodTemplates, llmReplicas?: number): readonly KubeObject[] {
    const { slm, llm, pools } = deployment.spec;
    const replicas = { slm: slm.replicas, llm: llmReplicas ?? pools?.llmReplicas ?? llm.replicas };
    return revisionChildren({ deployment, revision, templates, config: routerConfig(deployment), replicas }, this.#options.render);
  }

  async #applyAll(
    deployment: Live<R2RDeployment>,
    revision: string,
    desired: readonly KubeObject[],
    signal: AbortSignal,
  ): Promise<AppliedChild[]> {
    const { caches, recorder } = this.#options;
    const account = { namespace: deployment.metadata.namespace, name: revisionNames(deployment.metadata.name, revision).router };
    let accountUid = caches.children.get('v1/ServiceAccount')?.get(account)?.metadata.uid;
    const applied: AppliedChild[] = [];
    for (const manifest of desired) {
      const child = await applyChild(this.#options, deployment, tiedToAccount(manifest, accountUid), signal);
      if (child.object.kind === 'ServiceAccount') accountUid = child.object.metadata.uid;
      noteChild(recorder, deployment, child);
      applied.push(child);
    }
    return applied;
  }
}

function pinned({ data }: ControllerRevision): PodTemplates {
  return data as PodTemplates;
}
