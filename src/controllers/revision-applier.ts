import { labelKeys, revisionNames, templateRecordName } from '../api/names.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { revisionOf, templateKey } from '../api/revision.ts';
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

/** The pods of one revision, as the ControllerRevision of this name pins them (ADR 1). */
export interface PinnedPods {
  readonly revision: string;
  readonly record: string;
  readonly templates: PodTemplates;
}

/** Pods of each role that a revision's Deployments are to ask for. */
export interface Replicas {
  readonly slm: number;
  readonly llm: number;
}

/** Makes the children of one revision be what they should be. */
export class RevisionApplier {
  readonly #options: RevisionApplierOptions;

  constructor(options: RevisionApplierOptions) {
    this.#options = options;
  }

  /** The pods of this spec: as they are pinned, or freshly rendered. @throws OverlayError */
  pods(deployment: Live<R2RDeployment>): PinnedPods {
    const record = templateRecordName(deployment.metadata.name, templateKey(deployment.spec));
    const pinned = this.#options.caches.records.get({ namespace: deployment.metadata.namespace, name: record });
    const templates = pinned ? templatesOf(pinned) : podTemplates(deployment, this.#options.render);
    return { revision: revisionOf(deployment.spec), record, templates };
  }

  /** The pods that a revision has, whatever the spec says by now; undefined when nothing pins them. */
  podsInForce(deployment: Live<R2RDeployment>, revision: string): PinnedPods | undefined {
    const records = this.#options.caches.records
      .ownedBy(deployment.metadata.uid)
      .filter((record) => record.metadata.labels?.[labelKeys.revision] === revision);
    const wanted = templateRecordName(deployment.metadata.name, templateKey(deployment.spec));
    // RFC 3339 times sort as text
    const newest = records.sort((a, b) => ((a.metadata.creationTimestamp ?? '') < (b.metadata.creationTimestamp ?? '') ? -1 : 1)).at(-1);
    const record = records.find(({ metadata }) => metadata.name === wanted) ?? newest;
    return record && { revision, record: record.metadata.name, templates: templatesOf(record) };
  }

  /**
   * Applies everything that a revision is to have, and removes what the present spec no longer asks for.
   *
   * @throws ChildRefusedError, ChildInTheWayError, KubeError
   */
  async apply(deployment: Live<R2RDeployment>, pods: PinnedPods, replicas: Replicas, signal: AbortSignal): Promise<AppliedChild[]> {
    const { revision, record, templates } = pods;
    const desired = [templateRecord(deployment, revision, templates, record), ...this.#children(deployment, pods, replicas)];
    const applied = await this.#applyAll(deployment, revision, desired, signal);
    const wanted = new Set(desired.map(({ kind, metadata }) => `${kind}/${metadata.name}`));
    const isLeftOver = ({ type, object }: { type: ResourceType; object: Live }): boolean =>
      type.kind !== 'ControllerRevision' && !wanted.has(`${type.kind}/${object.metadata.name}`);
    await retireRevision(this.#options, deployment, revision, isLeftOver, signal);
    return applied;
  }

  /**
   * Makes deleted children of the revision that still answers again, from its pinned templates. What exists stays as it is: the spec it
   * came from is gone.
   */
  async restore(deployment: Live<R2RDeployment>, revision: string, signal: AbortSignal): Promise<void> {
    const { caches } = this.#options;
    const pods = this.podsInForce(deployment, revision);
    if (!pods) return;
    const { slm, llm } = deployment.spec;
    const children = this.#children(deployment, pods, { slm: slm.replicas, llm: llm.replicas });
    const missing = children.filter(({ apiVersion, kind, metadata }) => {
      const key = { namespace: deployment.metadata.namespace, name: metadata.name };
      return !caches.children.get(`${apiVersion}/${kind}`)?.get(key);
    });
    await this.#applyAll(deployment, revision, missing, signal);
  }

  /** All children of a revision but its record, with the present spec's router configuration. */
  #children(deployment: Live<R2RDeployment>, { revision, templates }: PinnedPods, replicas: Replicas): readonly KubeObject[] {
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

function templatesOf({ data }: ControllerRevision): PodTemplates {
  return data as PodTemplates;
}
