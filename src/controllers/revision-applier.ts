import { labelKeys, revisionNames, templateRecordName } from '../api/names.ts';
import type { Scheme } from '../api/names.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { templateKey } from '../api/revision.ts';
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

/** Makes the children of one revision be what they should be. */
export class RevisionApplier {
  readonly #options: RevisionApplierOptions;
  readonly #verified = new Verified();

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
   * Applies everything the present spec asks for, and removes what it no longer does. What was found right before is not looked at again
   * while neither the input of the children nor they have changed.
   *
   * @throws ChildRefusedError, ChildInTheWayError, KubeError
   */
  async apply(deployment: Live<R2RDeployment>, revision: string, templates: PodTemplates, signal: AbortSignal): Promise<AppliedChild[]> {
    const { render } = this.#options;
    const applied = await this.#unlessVerified(
      deployment,
      'revision',
      this.#input(deployment, revision, templates),
      (input) => [templateRecord(deployment, revision, templates), ...revisionChildren(input, render)],
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
   * came from is gone.
   */
  async restore(deployment: Live<R2RDeployment>, revision: string, signal: AbortSignal): Promise<void> {
    const { caches } = this.#options;
    const records = caches.records
      .ownedBy(deployment.metadata.uid)
      .filter((record) => record.metadata.labels?.[labelKeys.revision] === revision);
    // RFC 3339 times sort as text
    const record = records.sort((a, b) => ((a.metadata.creationTimestamp ?? '') < (b.metadata.creationTimestamp ?? '') ? -1 : 1)).at(-1);
    if (!record) return;
    const children = revisionChildren(this.#input(deployment, revision, pinned(record)), this.#options.render);
    const missing = children.filter(({ apiVersion, kind, metadata }) => {
      const key = { namespace: deployment.metadata.namespace, name: metadata.name };
      return !caches.children.get(`${apiVersion}/${kind}`)?.get(key);
    });
    await this.#applyAll(deployment, revision, missing, signal);
  }

  /** All that the children of a revision, but for its record, are made from: with the present spec's replicas and router configuration. */
  #input(deployment: Live<R2RDeployment>, revision: string, templates: PodTemplates): RevisionInput {
    const { slm, llm } = deployment.spec;
    return { deployment, revision, templates, config: routerConfig(deployment), replicas: { slm: slm.replicas, llm: llm.replicas } };
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
    const applied = await apply(render(input));
    this.#verified.keep(
      key,
      digest,
      applied.map(({ object }) => object),
      read,
    );
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
