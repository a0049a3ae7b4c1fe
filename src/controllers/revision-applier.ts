import { labelKeys, revisionNames, templateRecordName } from '../api/names.ts';
import type { Scheme } from '../api/names.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { revisionOf, templateKey } from '../api/revision.ts';
import { keyOf, keyString } from '../kube/index.ts';
import type { EventRecorder, KubeClient, Live, ObjectKey, ResourceType } from '../kube/index.ts';
import type { ControllerRevision } from '../kube/resources.ts';
import { endpointService, podTemplates, revisionChildren, routerConfig, templateRecord } from '../manifests/index.ts';
import type { KubeObject, PodTemplates, RenderOptions, RevisionInput } from '../manifests/index.ts';
import { tiedToAccount } from './account.ts';
import { informerOf } from './caches.ts';
import type { Caches } from './caches.ts';
import { applyChild, retireRevision } from './children.ts';
import type { AppliedChild } from './children.ts';
import { noteChild } from './notes.ts';
import { Verified, digestOf } from './verified.ts';
import type { ReadChild } from './verified.ts';

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

/** What is wanted; of the LLM more while pods are being drained. */
export function replicasOf({ spec: { slm, llm, pools } }: R2RDeployment): Replicas {
  return { slm: slm.replicas, llm: pools?.llmReplicas ?? llm.replicas };
}

/** Makes the children of one revision be what they should be. */
export class RevisionApplier {
  readonly #options: RevisionApplierOptions;
  readonly #verified = new Verified();

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

  /** Whether pods of a revision have been asked for. */
  exists({ metadata: { namespace, name } }: Live<R2RDeployment>, revision: string): boolean {
    return this.#options.caches.deployments.get({ namespace, name: revisionNames(name, revision).slm }) !== undefined;
  }

  /**
   * Applies everything that a revision is to have, and removes what the present spec no longer asks for. What was found right before is not
   * looked at again while neither the input of the children nor they have changed.
   *
   * @throws ChildRefusedError, ChildInTheWayError, KubeError
   */
  async apply(deployment: Live<R2RDeployment>, pods: PinnedPods, replicas: Replicas, signal: AbortSignal): Promise<AppliedChild[]> {
    const { revision, record, templates } = pods;
    const input = revisionInput(deployment, pods, replicas);
    const applied = await this.#unlessVerified(
      deployment,
      'revision',
      { ...input, record },
      () => [templateRecord(deployment, revision, templates, record), ...revisionChildren(input, this.#options.render)],
      (desired) => this.#applyAll(deployment, revision, desired, signal),
    );
    const wanted = new Set(applied.map(({ object }) => `${object.kind}/${object.metadata.name}`));
    const isLeftOver = ({ type, object }: { type: ResourceType; object: Live }): boolean =>
      type.kind !== 'ControllerRevision' && !wanted.has(`${type.kind}/${object.metadata.name}`);
    await retireRevision(this.#options, deployment, revision, isLeftOver, signal);
    return applied;
  }

  /** Points the endpoint Service to a revision. Errors as `apply`. */
  async applyEndpoint(
    deployment: Live<R2RDeployment>,
    serving: string,
    schemes: ReadonlySet<Scheme>,
    signal: AbortSignal,
  ): Promise<AppliedChild> {
    const [child] = await this.#unlessVerified(
      deployment,
      'endpoint',
      { deployment, serving, schemes: [...schemes] },
      () => [endpointService(deployment, serving, schemes)],
      async ([service]) => (service ? [await applyChild(this.#options, deployment, service, signal)] : []),
    );
    if (!child) throw new TypeError('one manifest, one child');
    noteChild(this.#options.recorder, deployment, child);
    return child;
  }

  /** The R2RDeployment is gone. */
  forget(key: ObjectKey): void {
    for (const part of ['revision', 'endpoint']) this.#verified.forget(`${keyString(key)}/${part}`);
  }

  /**
   * Makes deleted children of the revision that still answers again, from its pinned templates. What exists stays as it is: the spec it
   * came from is gone. Only its LLM pool may get more replicas, by autoscaling.
   */
  async restore(deployment: Live<R2RDeployment>, revision: string, signal: AbortSignal): Promise<void> {
    const { caches } = this.#options;
    const pods = this.podsInForce(deployment, revision);
    if (!pods) return;
    const { llm } = revisionNames(deployment.metadata.name, revision);
    const grown = deployment.spec.pools?.servingLlmReplicas;
    const replicas = { ...replicasOf(deployment), ...(grown !== undefined && { llm: grown }) };
    const children = revisionChildren(revisionInput(deployment, pods, replicas), this.#options.render);
    const wanted = children.filter(({ apiVersion, kind, metadata }) => {
      const key = { namespace: deployment.metadata.namespace, name: metadata.name };
      return (
        (grown !== undefined && kind === 'Deployment' && metadata.name === llm) || !caches.children.get(`${apiVersion}/${kind}`)?.get(key)
      );
    });
    await this.#applyAll(deployment, revision, wanted, signal);
  }

  /** @param input - everything that `render` reads: of the deployment, its name, UID and spec count */
  async #unlessVerified<Input extends { readonly deployment: R2RDeployment }>(
    owner: Live<R2RDeployment>,
    part: 'revision' | 'endpoint',
    input: Input,
    render: (input: Input) => readonly KubeObject[],
    apply: (desired: readonly KubeObject[]) => Promise<AppliedChild[]>,
  ): Promise<AppliedChild[]> {
    const { namespace, name, uid } = owner.metadata;
    const key = `${keyString(keyOf(owner))}/${part}`;
    const digest = digestOf({ ...input, deployment: { namespace, name, uid, spec: input.deployment.spec } });
    const read: ReadChild = (child) => informerOf(this.#options.caches, child).get({ namespace, name: child.name });
    const known = this.#verified.unchanged(key, digest, read);
    if (known) return known.map((object) => ({ object, outcome: 'unchanged' }));
    const desired = render(input);
    const applied = await apply(desired);
    const children = applied.map(({ object }) => object);
    // one of a kind that the server does not know yet was left out: it is tried again
    if (children.length < desired.length) this.#verified.forget(key);
    else this.#verified.keep(key, digest, children, read);
    return applied;
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
      // nothing but a condition can come of a kind that the server does not know
      if (informerOf(caches, manifest).absent) continue;
      const child = await applyChild(this.#options, deployment, tiedToAccount(manifest, accountUid), signal);
      if (child.object.kind === 'ServiceAccount') accountUid = child.object.metadata.uid;
      noteChild(recorder, deployment, child);
      applied.push(child);
    }
    return applied;
  }
}

/** All that the children of a revision, but for its record, are made from: with the present spec's router configuration. */
function revisionInput(deployment: Live<R2RDeployment>, { revision, templates }: PinnedPods, replicas: Replicas): RevisionInput {
  return { deployment, revision, templates, config: routerConfig(deployment), replicas };
}

function templatesOf({ data }: ControllerRevision): PodTemplates {
  return data as PodTemplates;
}
