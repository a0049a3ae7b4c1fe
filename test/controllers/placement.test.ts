/** Colocated units, and LLMs that span nodes, by the controller on a real API server. No pod ever starts; a test plays the other controllers' parts. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Registry } from 'prom-client';
import { findCondition } from '../../src/api/conditions.ts';
import type { ConditionType } from '../../src/api/conditions.ts';
import { customResourceDefinition } from '../../src/api/crd.ts';
import { routerCustomResourceDefinition } from '../../src/api/r2rrouter-crd.ts';
import type { R2RDeployment, R2RDeploymentSpecInput } from '../../src/api/r2rdeployment.ts';
import type { RouterStatus } from '../../src/api/router-status.ts';
import { leaderWorkerSets } from '../../src/controllers/leader-worker-sets.ts';
import { addR2RDeploymentController } from '../../src/controllers/r2rdeployment-controller.ts';
import { r2rDeployments, r2rRouters } from '../../src/controllers/resource-types.ts';
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
import type { Live, ResourceType } from '../../src/kube/index.ts';
import { controlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/progress.ts';
import { leaderWorkerSetDefinition } from './leader-worker-set.ts';

const name = 'demo';
const none = { slm: 0, llm: 0, fallback: 0 };
/** What every router would answer; undefined: none does. */
let routerAnswer: RouterStatus | undefined;
const routers: RouterClient = {
  status: () => Promise.resolve(routerAnswer),
  probe: () => Promise.resolve(undefined),
  close: () => Promise.resolve(),
};

describe('placements, by the controller on a real API server', function () {
  this.timeout(180_000);
  const stop = new AbortController();
  let admin: KubeClient;
  let operator: KubeClient;
  let registry: Registry;
  let running: Promise<void>;
  let namespace: string;

  before(async () => {
    const plane = await controlPlane();
    admin = KubeClient.fromConfig(plane.kubeConfig(), { fieldManager: 'a-person' });
    for (const crd of [customResourceDefinition(), routerCustomResourceDefinition()]) await admin.apply(customResourceDefinitions, crd);
    await until('the CRDs are served', 30_000, async () => (await admin.list(r2rDeployments)).items.length >= 0);
    await until('that of R2RRouters, too', 30_000, async () => (await admin.list(r2rRouters)).items.length >= 0);
    for (const { metadata } of (await admin.list(r2rDeployments)).items) await admin.delete(r2rDeployments, metadata);
    await admin.delete(customResourceDefinitions, leaderWorkerSetDefinition.metadata);
    registry = new Registry();
    const metrics = new KubeMetrics(registry);
    operator = KubeClient.fromConfig(plane.kubeConfig(), { fieldManager: 'r2r-operator', metrics });
    const manager = new Manager({ client: operator, metrics });
    addR2RDeploymentController(manager, {
      client: operator,
      recorder: new EventRecorder(admin, { controller: 'r2r.dev/operator', instance: 'test' }),
      routers,
      render: { routerImage: 'registry.example/router:1', operatorNamespace: 'r2r-system' },
      logger: silentLogger,
      metrics,
      registry,
      concurrency: 2,
    });
    running = manager.run(stop.signal);
  });

  beforeEach(async () => {
    routerAnswer = undefined;
    namespace = `placement-${randomBytes(4).toString('hex')}`;
    await admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  });

  after(async () => {
    stop.abort();
    await running;
    await admin.delete(customResourceDefinitions, leaderWorkerSetDefinition.metadata);
    await Promise.all([admin.close(), operator.close()]);
  });

  const create = (spec: Omit<R2RDeploymentSpecInput, 'slm'>): Promise<unknown> =>
    admin.create(r2rDeployments, {
      apiVersion: 'r2r.dev/v1alpha1',
      kind: 'R2RDeployment',
      metadata: { name, namespace },
      spec: { slm: { model: '/models/slm' }, ...spec },
    });
  const read = (): Promise<Live<R2RDeployment>> => admin.get(r2rDeployments, { namespace, name });
  const told = async (type: ConditionType): Promise<string> => {
    const condition = findCondition((await read()).status?.conditions, type);
    return `${condition?.status} ${condition?.reason}`;
  };
  const says = (type: ConditionType, what: string, timeoutMs = 30_000): Promise<unknown> =>
    until(`${type} is ${what}`, timeoutMs, async () => {
      const seen = await told(type);
      if (seen !== what) throw new Error(`it is ${seen}`);
      return true;
    });
  const messageOf = async (type: ConditionType): Promise<string> => findCondition((await read()).status?.conditions, type)?.message ?? '';
  const revision = (): Promise<string> => until('a target revision', 30_000, async () => (await read()).status?.revision?.target);
  const find = (type: ResourceType, child: string): Promise<Live | undefined> => admin.find(type, { namespace, name: child });
  const play = (type: ResourceType, child: string, status: object): Promise<unknown> =>
    admin.patch(type, { namespace, name: child }, { status }, { subresource: 'status' });

  /** A pod as a controller would make it from this template, and what the kubelet would say of it. */
  const makePod = async (template: object, status: object): Promise<string> => {
    const { metadata, spec } = template as { metadata: { labels: object }; spec: object };
    const pod = `pod-${randomBytes(4).toString('hex')}`;
    await admin.create(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: pod, namespace, labels: metadata.labels },
      // no node takes it, and no controller owns it
      spec: { ...spec, serviceAccountName: 'default', nodeSelector: { 'r2r.dev/none': 'here' } },
    });
    await play(pods, pod, status);
    return pod;
  };
  /** Plays the Deployment controller: all replicas are there, of the newest template, and ready. */
  const completed = async (child: string, replicas = 1): Promise<void> => {
    const { metadata } = await until(child, 30_000, () => admin.find(deployments, { namespace, name: child }));
    const counts = { replicas, updatedReplicas: replicas, readyReplicas: replicas, availableReplicas: replicas };
    await play(deployments, child, { observedGeneration: metadata.generation, ...counts });
  };
  /** Another revision than this one. */
  const another = (before: string): Promise<string> =>
    until('another revision', 30_000, async () => {
      const { target } = (await read()).status?.revision ?? {};
      return target !== before && target;
    });
  const container = (what: object) => ({ restartCount: 0, image: 'i', imageID: 'i', ready: false, ...what });

  describe('Colocated', () => {
    const unit = { placement: 'Colocated', llm: { model: '/models/llm' } } as const;
    const unitStatus = (engine: object, router: object = {}) => ({
      podIP: '192.0.2.7',
      initContainerStatuses: [container({ name: 'engine', started: true, state: { running: {} }, ...engine })],
      containerStatuses: [container({ name: 'router', started: true, state: { running: {} }, ...router })],
    });
    const readyUnit = { ...unitStatus({ ready: true }, { ready: true }), conditions: [{ type: 'Ready', status: 'True' }] };
    const template = async (of?: string): Promise<object> => {
      const slm = `${name}-${of ?? (await revision())}-slm`;
      const { spec } = await until('the unit', 30_000, () => admin.find(deployments, { namespace, name: slm }));
      return spec?.template as object;
    };
    const router = (slmReady: boolean, llmReady: boolean): RouterStatus => ({
      configDigest: 'x',
      strategy: 'entropy',
      alarms: [],
      waitingFor: [slmReady ? 'an LLM replica that takes calls' : 'the SLM server'],
      slmReady,
      inFlight: 0,
      tokensTotal: none,
      window: { seconds: 60, tokens: none, tokensPerSecond: 0 },
      parameters: {},
      llmEndpoints: [{ address: 'http://192.0.2.7:30001', ready: llmReady, draining: false, inFlight: 0 }],
    });

    it('makes one Deployment, and neither a Service nor a Deployment for an LLM', async () => {
      await create(unit);
      const target = await revision();
      await until('the unit', 30_000, () => find(deployments as ResourceType, `${name}-${target}-slm`));
      assert.ok(await find(configMaps, `${name}-${target}-router`));
      for (const type of [deployments, services]) assert.equal(await find(type as ResourceType, `${name}-${target}-llm`), undefined);
    });

    it('says of each engine of a starting unit what its router says, and that both are ready when their container is', async () => {
      routerAnswer = router(false, false);
      await create(unit);
      const pod = await makePod(await template(), unitStatus({}));
      await says('SLMReady', 'False PodsNotReady');
      await says('LLMReady', 'False PodsNotReady');
      routerAnswer = router(true, false);
      await says('SLMReady', 'True UpToDate');
      assert.equal(await told('LLMReady'), 'False PodsNotReady');
      assert.equal((await read()).status?.summary?.llm, '0/1');
      routerAnswer = undefined;
      await play(pods, pod, unitStatus({ ready: true }));
      await says('LLMReady', 'True UpToDate');
      assert.equal((await read()).status?.summary?.llm, '1/1');
      await admin.delete(pods, { namespace, name: pod }, { gracePeriodSeconds: 0 });
    });

    it('blames the engine that the last words of the launcher name, and says of the other that it is not ready', async () => {
      await create(unit);
      const message = 'OSError: /models/llm is not there\nlauncher: engine llm ended with exit status 1; both start again\n';
      const ended = { terminated: { exitCode: 1, reason: 'Error', message } };
      const crashed = { started: false, restartCount: 2, state: { waiting: { reason: 'CrashLoopBackOff' } }, lastState: ended };
      const pod = await makePod(await template(), unitStatus(crashed));
      await says('LLMReady', 'False CrashLoopBackOff');
      assert.match(await messageOf('LLMReady'), /OSError: \/models\/llm is not there launcher: engine llm ended with exit status 1/);
      assert.equal(await told('SLMReady'), 'False PodsNotReady');
      assert.equal(await told('Ready'), 'False CrashLoopBackOff');
      // the launcher runs again, the engines are still being loaded
      await play(pods, pod, unitStatus({ restartCount: 3, lastState: ended }));
      await says('LLMReady', 'False CrashLoopBackOff');
      await admin.delete(pods, { namespace, name: pod }, { gracePeriodSeconds: 0 });
    });

    it('counts units as LLM replicas, and is Ready when the unit is', async () => {
      await create({ ...unit });
      const target = await revision();
      const pod = await makePod(await template(), readyUnit);
      await completed(`${name}-${target}-slm`);
      await says('Reconciling', 'False UpToDate');
      const { status } = await read();
      assert.equal(findCondition(status?.conditions, 'Ready')?.status, 'True');
      assert.deepEqual(status?.llm, { replicas: 1, readyReplicas: 1, updatedReplicas: 1 });
      assert.match(status.selector ?? '', /component=slm/);
      await admin.delete(pods, { namespace, name: pod }, { gracePeriodSeconds: 0 });
    });

    it('moves from pods of their own to units as a new revision, and takes the old one down', async () => {
      await create({ llm: unit.llm });
      const before = await revision();
      await until('the LLM Deployment', 30_000, () => find(deployments as ResourceType, `${name}-${before}-llm`));
      await admin.patch(r2rDeployments, { namespace, name }, { spec: { placement: 'Colocated' } });
      const target = await another(before);
      assert.ok(await find(deployments, `${name}-${before}-llm`), 'the old one answers meanwhile');
      const pod = await makePod(await template(target), readyUnit);
      await completed(`${name}-${target}-slm`);
      await until('nothing of the old revision', 60_000, async () => {
        const left = [...(await admin.list(deployments, { namespace })).items, ...(await admin.list(services, { namespace })).items];
        return left.every(({ metadata }) => !metadata.name.includes(before));
      });
      await admin.delete(pods, { namespace, name: pod }, { gracePeriodSeconds: 0 });
    });
  });

  // Last, and in this order: the kind comes once, and stays.
  describe('an LLM that spans nodes', () => {
    const group = { llm: { model: '/models/llm', nodes: 2, tensorParallelSize: 16, replicas: 2 } };

    it('says what is missing, and has made all the rest, while the cluster knows no LeaderWorkerSets', async () => {
      await create(group);
      await says('Stalled', 'True LeaderWorkerSetsMissing');
      assert.equal(await told('LLMReady'), 'False LeaderWorkerSetsMissing');
      assert.equal(
        await messageOf('Stalled'),
        'spec.llm.nodes is 2, and the cluster knows no LeaderWorkerSets (leaderworkerset.x-k8s.io/v1); ' +
          'install them (https://lws.sigs.k8s.io/docs/installation), or set llm.nodes to 1',
      );
      const target = await revision();
      for (const [type, child] of [
        [deployments, `${name}-${target}-slm`],
        [services, `${name}-${target}-llm`],
        [services, name],
        [configMaps, `${name}-${target}-router`],
      ] as const)
        assert.ok(await until(child, 10_000, () => find(type as ResourceType, child)));
    });

    it('goes on by itself when they are installed', async () => {
      await create(group);
      await says('Stalled', 'True LeaderWorkerSetsMissing');
      await admin.apply(customResourceDefinitions, leaderWorkerSetDefinition);
      const target = await revision();
      const set = await until('the LeaderWorkerSet', 60_000, () => admin.find(leaderWorkerSets, { namespace, name: `${name}-${target}` }));
      assert.equal(set.metadata.ownerReferences?.[0]?.uid, (await read()).metadata.uid);
      assert.equal(set.spec?.replicas, 2);
      await says('Stalled', 'False NoProblem');
    });

    it('counts groups, follows the replicas of the spec, and repairs what is edited', async () => {
      await create(group);
      const child = `${name}-${await revision()}`;
      const set = await until('the LeaderWorkerSet', 60_000, () => admin.find(leaderWorkerSets, { namespace, name: child }));
      await play(leaderWorkerSets, child, {
        observedGeneration: set.metadata.generation,
        replicas: 2,
        readyReplicas: 1,
        updatedReplicas: 2,
      });
      await until('a group is ready', 20_000, async () => (await read()).status?.summary?.llm === '1/2');
      await play(leaderWorkerSets, child, { readyReplicas: 2 });
      await says('LLMReady', 'True UpToDate');
      assert.deepEqual((await read()).status?.llm, { replicas: 2, readyReplicas: 2, updatedReplicas: 2 });
      await admin.patch(leaderWorkerSets, { namespace, name: child }, { spec: { replicas: 7 } });
      await until(
        'two groups again',
        10_000,
        async () => (await admin.get(leaderWorkerSets, { namespace, name: child })).spec?.replicas === 2,
      );
      await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { replicas: 3 } } });
      await until('three groups', 10_000, async () => (await admin.get(leaderWorkerSets, { namespace, name: child })).spec?.replicas === 3);
    });

    it('takes a set without observedGeneration, as the first releases wrote it', async () => {
      await create(group);
      const child = `${name}-${await revision()}`;
      await until('the LeaderWorkerSet', 60_000, () => admin.find(leaderWorkerSets, { namespace, name: child }));
      await play(leaderWorkerSets, child, { replicas: 2, readyReplicas: 2, updatedReplicas: 2 });
      await says('LLMReady', 'True UpToDate');
    });

    it('sends no write for a set that is as it should be', async () => {
      await create(group);
      const child = `${name}-${await revision()}`;
      const set = await until('the LeaderWorkerSet', 60_000, () => admin.find(leaderWorkerSets, { namespace, name: child }));
      const patches = async (): Promise<string[]> =>
        (await registry.metrics()).split('\n').filter((line) => /^kube_client_requests_total\{.*verb="patch".*leaderworkersets/.test(line));
      const before = await patches();
      assert.ok(before.length > 0, 'the metric counts them');
      // several reconciles: it is under way
      await new Promise((resolve) => setTimeout(resolve, 6_000));
      assert.deepEqual(await patches(), before);
      assert.equal((await admin.get(leaderWorkerSets, { namespace, name: child })).metadata.resourceVersion, set.metadata.resourceVersion);
    });

    it("tells a worker's trouble as the LLM's", async () => {
      await create(group);
      const child = `${name}-${await revision()}`;
      const set = await until('the LeaderWorkerSet', 60_000, () => admin.find(leaderWorkerSets, { namespace, name: child }));
      const { workerTemplate } = (set.spec as unknown as { leaderWorkerTemplate: { workerTemplate: object } }).leaderWorkerTemplate;
      const pod = await makePod(workerTemplate, {
        conditions: [
          {
            type: 'PodScheduled',
            status: 'False',
            reason: 'Unschedulable',
            message: '0/3 nodes are available: 3 Insufficient nvidia.com/gpu.',
          },
        ],
      });
      await says('LLMReady', 'False InsufficientCapacity');
      await admin.delete(pods, { namespace, name: pod }, { gracePeriodSeconds: 0 });
    });

    it('is taken down with its revision when the model fits on one node again', async () => {
      await create(group);
      const before = await revision();
      await until('the LeaderWorkerSet', 60_000, () => admin.find(leaderWorkerSets, { namespace, name: `${name}-${before}` }));
      await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { nodes: 1 } } });
      const target = await another(before);
      const { spec } = await until('the SLM Deployment', 30_000, () =>
        admin.find(deployments, { namespace, name: `${name}-${target}-slm` }),
      );
      const pod = await makePod(spec?.template as object, { podIP: '192.0.2.8', conditions: [{ type: 'Ready', status: 'True' }] });
      await completed(`${name}-${target}-slm`);
      const llm = await admin.get(deployments, { namespace, name: `${name}-${target}-llm` });
      const ready = { conditions: [{ type: 'Ready', status: 'True' }] };
      const llmPods = [await makePod(llm.spec?.template as object, ready), await makePod(llm.spec?.template as object, ready)];
      await completed(`${name}-${target}-llm`, 2);
      await until('no LeaderWorkerSet', 60_000, async () => (await admin.list(leaderWorkerSets, { namespace })).items.length === 0);
      for (const each of [pod, ...llmPods]) await admin.delete(pods, { namespace, name: each }, { gracePeriodSeconds: 0 });
    });
  });
});
