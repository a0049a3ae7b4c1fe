/** The controller of R2RDeployments on a real API server. There is no kubelet and no other controller: tests play their parts. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { parse } from 'yaml';
import { findCondition } from '../../src/api/conditions.ts';
import type { ConditionType } from '../../src/api/conditions.ts';
import { customResourceDefinition } from '../../src/api/crd.ts';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import { routerCustomResourceDefinition } from '../../src/api/r2rrouter-crd.ts';
import { makeCaches } from '../../src/controllers/caches.ts';
import type { Caches } from '../../src/controllers/caches.ts';
import { addR2RDeploymentController } from '../../src/controllers/r2rdeployment-controller.ts';
import { r2rDeployments, r2rRouters } from '../../src/controllers/resource-types.ts';
import type { RouterStatus } from '../../src/api/router-status.ts';
import type { RouterClient } from '../../src/controllers/router-client.ts';
import {
  EventRecorder,
  KubeClient,
  KubeMetrics,
  Manager,
  configMaps,
  customResourceDefinitions,
  deployments,
  namespaces,
  pods,
  services,
  silentLogger,
} from '../../src/kube/index.ts';
import type { Live, Manifest } from '../../src/kube/index.ts';
import type { Deployment, Pod } from '../../src/kube/resources.ts';
import { controlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/progress.ts';

export const renderOptions = { routerImage: 'registry.example/router:1', operatorNamespace: 'r2r-system' };
export const name = 'demo';

type Role = 'slm' | 'llm';

export class ControllerStage {
  readonly admin: KubeClient;
  readonly #operator: KubeClient;
  readonly #manager: Manager;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  /** Of the present test. */
  namespace = '';
  /** What is wrong with the answer to a probe. */
  probeAnswer: string | undefined;

  private constructor(admin: KubeClient, operator: KubeClient, seen: (caches: Caches) => Caches) {
    this.admin = admin;
    this.#operator = operator;
    const registry = new Registry();
    const metrics = new KubeMetrics(registry);
    const routers: RouterClient = {
      status: () => this.#routerStatus(),
      probe: () => Promise.resolve(this.probeAnswer),
      close: () => Promise.resolve(),
    };
    this.#manager = new Manager({ client: operator, metrics });
    addR2RDeploymentController(this.#manager, {
      client: operator,
      recorder: new EventRecorder(admin, { controller: 'r2r.dev/operator', instance: 'test' }),
      routers,
      render: renderOptions,
      logger: silentLogger,
      metrics,
      registry,
      concurrency: 2,
      caches: seen(makeCaches(this.#manager)),
    });
  }

  /** Of a router that runs the configuration of its ConfigMap; every revision has the same. */
  async #routerStatus(): Promise<RouterStatus> {
    const { items } = await this.admin.list(configMaps, { namespace: this.namespace });
    const config = items.map(({ data }) => data?.['router.json'] ?? '').at(0) ?? '';
    const none = { slm: 0, llm: 0, fallback: 0 };
    return {
      configDigest: createHash('sha256').update(config).digest('hex'),
      strategy: 'entropy',
      alarms: [],
      waitingFor: [],
      inFlight: 0,
      tokensTotal: none,
      window: { seconds: 60, tokens: none, tokensPerSecond: 0 },
      parameters: {},
      llmEndpoints: [],
    };
  }

  /** @param seen - what the controller sees of its caches */
  static async make(seen = (caches: Caches): Caches => caches): Promise<ControllerStage> {
    const plane = await controlPlane();
    const admin = KubeClient.fromConfig(plane.kubeConfig(), { fieldManager: 'a-person' });
    for (const crd of [customResourceDefinition(), routerCustomResourceDefinition()]) await admin.apply(customResourceDefinitions, crd);
    await until('the CRDs are served', 30_000, async () => (await admin.list(r2rDeployments)).items.length >= 0);
    await until('that of R2RRouters, too', 30_000, async () => (await admin.list(r2rRouters)).items.length >= 0);
    // other test files may have left resources behind
    for (const { metadata } of (await admin.list(r2rDeployments)).items) await admin.delete(r2rDeployments, metadata);
    return new ControllerStage(admin, KubeClient.fromConfig(plane.kubeConfig(), { fieldManager: 'r2r-operator' }), seen);
  }

  start(): void {
    this.#running = this.#manager.run(this.#stop.signal);
  }

  async nextTest(): Promise<void> {
    this.probeAnswer = undefined;
    this.namespace = `rollouts-${randomBytes(4).toString('hex')}`;
    await this.admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: this.namespace } });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await Promise.all([this.admin.close(), this.#operator.close()]);
  }

  async create(spec: object = {}): Promise<void> {
    await this.admin.create(r2rDeployments, this.example(spec));
  }

  example(spec: object = {}): Manifest {
    const base = parse(readFileSync(join(import.meta.dirname, '../../examples/r2rdeployment.yaml'), 'utf8')) as R2RDeployment;
    return { ...base, metadata: { name, namespace: this.namespace }, spec: { ...base.spec, ...spec } };
  }

  async patch(spec: object): Promise<void> {
    await this.admin.patch(r2rDeployments, { namespace: this.namespace, name }, { spec });
  }

  read(): Promise<Live<R2RDeployment>> {
    return this.admin.get(r2rDeployments, { namespace: this.namespace, name });
  }

  /** Waits until conditions of the present generation are `status reason`. */
  async tells(wanted: Partial<Record<ConditionType, string>>, timeoutMs = 30_000): Promise<void> {
    let seen: unknown;
    await until(`the conditions ${JSON.stringify(wanted)}`, timeoutMs, async () => {
      const { metadata, status } = await this.read();
      const told = Object.keys(wanted).map((type) => {
        const condition = findCondition(status?.conditions, type as ConditionType);
        return [type, `${condition?.status} ${condition?.reason}`];
      });
      seen = Object.fromEntries(told);
      return status?.observedGeneration === metadata.generation && JSON.stringify(seen) === JSON.stringify(wanted);
    }).catch((error: unknown) => {
      throw new Error(`it tells ${JSON.stringify(seen)}`, { cause: error });
    });
  }

  async message(type: ConditionType): Promise<string> {
    return findCondition((await this.read()).status?.conditions, type)?.message ?? '';
  }

  /** The revision of the present spec, other than those before. */
  target(...before: readonly string[]): Promise<string> {
    return until('the target', 30_000, async () => {
      const target = (await this.read()).status?.revision?.target;
      return target !== undefined && !before.includes(target) && target;
    });
  }

  async serving(): Promise<string | undefined> {
    return (await this.admin.find(services, { namespace: this.namespace, name }))?.spec?.selector?.['r2r.dev/revision'];
  }

  child(revision: string, role: Role): Promise<Live<Deployment> | undefined> {
    return this.admin.find(deployments, { namespace: this.namespace, name: `${name}-${revision}-${role}` });
  }

  async wants(revision: string, role: Role): Promise<number | undefined> {
    return (await this.child(revision, role))?.spec?.replicas;
  }

  /** Plays Deployment controller and kubelet: as many pods as a revision's Deployments ask for, all ready. */
  async comeUp(revision: string): Promise<void> {
    for (const role of ['slm', 'llm'] as const) {
      const child = await until(`the ${role} Deployment`, 30_000, () => this.child(revision, role));
      const replicas = child.spec?.replicas ?? 0;
      while ((await this.pods(revision, role)).length < replicas) await this.#makePod(child);
      await this.#report(child, replicas);
    }
  }

  /** Plays the garbage collector, and routers that have finished their requests. */
  async goAway(revision: string, role: Role): Promise<void> {
    for (const { metadata } of await this.pods(revision, role)) await this.admin.delete(pods, metadata, { gracePeriodSeconds: 0 });
    const child = await this.child(revision, role);
    if (child) await this.#report(child, 0);
  }

  async pods(revision: string, role: Role): Promise<Live<Pod>[]> {
    const { items } = await this.admin.list(pods, { namespace: this.namespace });
    const is = ({ metadata: { labels } }: Live): boolean =>
      labels?.['r2r.dev/revision'] === revision && labels['app.kubernetes.io/component'] === role;
    return items.filter(is);
  }

  /** A pod of a Deployment that cannot be started. */
  async failToStart(revision: string, role: Role, reason: string): Promise<void> {
    const child = await until(`the ${role} Deployment`, 30_000, () => this.child(revision, role));
    const key = await this.#makePod(child);
    const waiting = { name: 'engine', ready: false, restartCount: 0, image: 'no/such:image', imageID: '', state: { waiting: { reason } } };
    const status = { conditions: [{ type: 'Ready', status: 'False' }], containerStatuses: [waiting] };
    await this.admin.patch(pods, key, { status }, { subresource: 'status' });
  }

  /** A pod of a Deployment that no node has room for. */
  async findNoRoom(revision: string, role: Role): Promise<void> {
    const child = await until(`the ${role} Deployment`, 30_000, () => this.child(revision, role));
    const key = await this.#makePod(child);
    const message = '0/1 nodes are available: 1 Insufficient nvidia.com/gpu.';
    const scheduled = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message };
    const status = { conditions: [scheduled, { type: 'Ready', status: 'False' }], containerStatuses: [], initContainerStatuses: [] };
    await this.admin.patch(pods, key, { status }, { subresource: 'status' });
  }

  async #makePod({ spec }: Live<Deployment>): Promise<{ readonly namespace: string; readonly name: string }> {
    const template = spec?.template;
    assert.ok(template);
    const key = { namespace: this.namespace, name: `pod-${randomBytes(4).toString('hex')}` };
    await this.admin.create(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...key, labels: template.metadata?.labels },
      // no node takes it, and no controller owns it
      spec: { ...template.spec, serviceAccountName: 'default', nodeSelector: { 'r2r.dev/none': 'here' } },
    });
    const up = (container: string): object => ({
      name: container,
      ready: true,
      started: true,
      restartCount: 0,
      image: 'i',
      imageID: 'i',
      state: { running: {} },
    });
    const conditions = [{ type: 'Ready', status: 'True', lastTransitionTime: new Date().toISOString().replace(/\.\d+Z$/, 'Z') }];
    const status = {
      podIP: '192.0.2.1',
      conditions,
      containerStatuses: (template.spec?.containers ?? []).map((each) => up(each.name)),
      initContainerStatuses: (template.spec?.initContainers ?? []).map((each) => up(each.name)),
    };
    await this.admin.patch(pods, key, { status }, { subresource: 'status' });
    return key;
  }

  async #report({ metadata }: Live<Deployment>, replicas: number): Promise<void> {
    const { generation } = await this.admin.get(deployments, metadata).then((live) => live.metadata);
    const status = {
      observedGeneration: generation,
      replicas,
      updatedReplicas: replicas,
      readyReplicas: replicas,
      availableReplicas: replicas,
    };
    await this.admin.patch(deployments, metadata, { status }, { subresource: 'status' });
  }
}
