/** Autoscaling and drains against a real API server; pods and routers are played (see played-cluster.ts). */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { parse } from 'yaml';
import { findCondition } from '../../../src/api/conditions.ts';
import type { ConditionType } from '../../../src/api/conditions.ts';
import { customResourceDefinition } from '../../../src/api/crd.ts';
import { routerCustomResourceDefinition } from '../../../src/api/r2rrouter-crd.ts';
import type { R2RDeployment } from '../../../src/api/r2rdeployment.ts';
import { addR2RDeploymentController } from '../../../src/controllers/r2rdeployment-controller.ts';
import { r2rDeployments, r2rRouters } from '../../../src/controllers/resource-types.ts';
import {
  EventRecorder,
  KubeClient,
  KubeMetrics,
  Manager,
  configMaps,
  customResourceDefinitions,
  deployments,
  events,
  namespaces,
  pods,
  silentLogger,
} from '../../../src/kube/index.ts';
import type { Live, Manifest } from '../../../src/kube/index.ts';
import type { Pod } from '../../../src/kube/resources.ts';
import { controlPlane } from '../../cluster/control-plane.ts';
import { until } from '../../cluster/progress.ts';
import { PlayedCluster } from './played-cluster.ts';

const name = 'demo';

describe('scaling on a real API server', function () {
  this.timeout(180_000);
  let admin: KubeClient;
  let plane: Awaited<ReturnType<typeof controlPlane>>;
  let namespace: string;
  let cluster: PlayedCluster;
  let operators: { readonly stop: () => Promise<void>; readonly registry: Registry }[] = [];

  before(async () => {
    plane = await controlPlane();
    admin = KubeClient.fromConfig(plane.kubeConfig(), { fieldManager: 'a-person' });
    for (const crd of [customResourceDefinition(), routerCustomResourceDefinition()]) await admin.apply(customResourceDefinitions, crd);
    await until('the CRDs are served', 30_000, async () => (await admin.list(r2rDeployments)).items.length >= 0);
    await until('that of R2RRouters, too', 30_000, async () => (await admin.list(r2rRouters)).items.length >= 0);
    for (const { metadata } of (await admin.list(r2rDeployments)).items) await admin.delete(r2rDeployments, metadata);
  });

  beforeEach(async () => {
    namespace = `scaling-${randomBytes(4).toString('hex')}`;
    await admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    cluster = new PlayedCluster(admin, namespace);
    cluster.start();
    startOperator();
  });

  afterEach(async () => {
    await stopOperators();
    await cluster.close();
    await admin.delete(r2rDeployments, { namespace, name });
    assert.deepEqual(
      cluster.events.filter((event) => event.startsWith('the test failed')),
      [],
    );
  });

  after(() => admin.close());

  function startOperator(): void {
    const registry = new Registry();
    const metrics = new KubeMetrics(registry);
    const client = KubeClient.fromConfig(plane.kubeConfig(), { fieldManager: 'r2r-operator', metrics });
    const recorder = new EventRecorder(admin, { controller: 'r2r.dev/operator', instance: 'test' });
    const manager = new Manager({ client, metrics });
    addR2RDeploymentController(manager, {
      client,
      recorder,
      routers: cluster,
      render: { routerImage: 'registry.example/router:1', operatorNamespace: 'r2r-system' },
      logger: silentLogger,
      metrics,
      registry,
      concurrency: 2,
      sampleEveryMs: { steady: 300, fast: 150 },
    });
    const stopping = new AbortController();
    const running = manager.run(stopping.signal);
    const stop = async (): Promise<void> => {
      stopping.abort();
      await running;
      await recorder.flush();
      await client.close();
    };
    operators.push({ stop, registry });
  }

  async function stopOperators(): Promise<void> {
    for (const { stop } of operators) await stop();
    operators = [];
  }

  function example(llm: object = {}, slm: object = {}): Manifest {
    const file = readFileSync(join(import.meta.dirname, '../../../examples/r2rdeployment.yaml'), 'utf8');
    const { spec, ...base } = parse(file) as R2RDeployment;
    return { ...base, metadata: { name, namespace }, spec: { ...spec, llm: { ...spec.llm, ...llm }, slm: { ...spec.slm, ...slm } } };
  }

  /** Quick, so that a test need not wait for minutes. */
  const quick = {
    maxReplicas: 4,
    capacityPerReplica: 100,
    targetUtilization: 0.5,
    scaleUp: { windowSeconds: 0, maxStep: 4 },
    scaleDown: { windowSeconds: 1, maxStep: 3 },
  };

  const read = (): Promise<Live<R2RDeployment>> => admin.get(r2rDeployments, { namespace, name });
  const condition = async (type: ConditionType) => findCondition((await read()).status?.conditions, type);
  const told = async (type: ConditionType): Promise<string> => {
    const found = await condition(type);
    return `${found?.status} ${found?.reason}`;
  };
  const isReady = () =>
    until('Ready', 60_000, async () => (await told('Ready')) === 'True Serving' && (await read()).status?.revision?.serving);
  const llmName = async (): Promise<string> => `${name}-${(await read()).status?.revision?.target}-llm`;
  const llmChild = async () => admin.get(deployments, { namespace, name: await llmName() });
  const config = async (): Promise<{ readonly drainingPodUIDs: readonly string[]; readonly llmScaledToZero?: boolean }> => {
    const map = await admin.get(configMaps, { namespace, name: `${name}-${(await read()).status?.revision?.target}-router` });
    return JSON.parse(map.data?.['router.json'] ?? '{}') as Awaited<ReturnType<typeof config>>;
  };
  const llmPods = async (): Promise<readonly Live<Pod>[]> =>
    (await admin.list(pods, { namespace })).items.filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] === 'llm');
  const replicas = (count: number, timeoutMs = 60_000): Promise<unknown> =>
    until(`${count} LLM replicas`, timeoutMs, async () => {
      const { status } = await read();
      return (
        (await llmChild()).spec?.replicas === count && (await llmPods()).length === count && status?.summary?.llm === `${count}/${count}`
      );
    });
  const scaling = async () => (await read()).status?.scaling?.llm;
  const recorded = async (reason: string): Promise<boolean> =>
    (await admin.list(events, { namespace })).items.some((event) => event.reason === reason);

  it('gives the LLM pool more replicas when the load rises, fewer when it falls, and keeps the last five decisions with their inputs', async () => {
    await admin.create(r2rDeployments, example({ autoscaling: quick }));
    await isReady();
    cluster.callsPerSecond = 1_000;
    await replicas(4);
    const [last] = (await scaling())?.decisions ?? [];
    assert.equal(last?.to, 4);
    assert.equal(last.capacityPerReplica, 100);
    assert.ok(
      last.demandPerSecond !== undefined && last.demandPerSecond > 80 && last.floor !== undefined && last.floor >= 2,
      JSON.stringify(last),
    );
    assert.equal((await scaling())?.wantedReplicas, 4);
    assert.match((await condition('ScalingReady'))?.message ?? '', /spec\.llm\.replicas is ignored while autoscaling is set/);
    assert.equal((await read()).spec.llm.replicas, 2, 'the spec is never written');
    assert.notEqual(await told('Reconciling'), 'True Updating');
    // another threshold voids the average, which would take its time to fall
    cluster.threshold = 0.9;
    cluster.callsPerSecond = 20;
    await replicas(1, 120_000);
    const { decisions = [] } = (await scaling()) ?? {};
    assert.ok(decisions.length >= 2 && decisions.length <= 5);
    assert.equal(decisions[0]?.reason, 'DemandFell');
    const metrics = (await operators[0]?.registry.metrics()) ?? '';
    assert.match(metrics, new RegExp(`r2r_operator_scaling_wanted_replicas\\{namespace="${namespace}",name="demo",pool="llm"\\} 1`));
    assert.match(metrics, /r2r_operator_scaling_decisions_total\{pool="llm",reason="DemandRose"\} [1-9]/);
    assert.match(
      metrics,
      new RegExp(`r2r_operator_scaling_reason\\{namespace="${namespace}",name="demo",pool="llm",reason="[A-Za-z]+"\\} 1`),
    );
    assert.ok((await recorded('ScaledUp')) && (await recorded('ScaledDown')));
    assert.equal(await recorded('DriftCorrected'), false, 'what it does itself is no drift');
  });

  it('drains before it takes away: list, acknowledgement, deletion cost, replicas, and then only that pod', async () => {
    await admin.create(r2rDeployments, example({ replicas: 3 }));
    await isReady();
    await replicas(3);
    for (const { metadata } of await llmPods()) cluster.inFlight.set(metadata.name, 1);
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { replicas: 2 } }, { subresource: 'scale' });
    const [uid] = await until('a pod in the list', 20_000, async () => {
      const { drainingPodUIDs } = await config();
      return drainingPodUIDs.length === 1 && drainingPodUIDs;
    });
    const doomed = (await llmPods()).find(({ metadata }) => metadata.uid === uid)?.metadata.name ?? '';
    await until('the drain in the status', 10_000, async () => (await scaling())?.drains?.[0]?.pod === doomed);
    await sleep(1_500);
    assert.equal((await llmChild()).spec?.replicas, 3, 'not while a call is under way there');
    assert.equal(
      (await llmPods()).find(({ metadata }) => metadata.uid === uid)?.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'],
      undefined,
    );
    cluster.inFlight.set(doomed, 0);
    await replicas(2);
    assert.deepEqual(cluster.events, ['replicas 3 to 2', `deleted ${doomed}`]);
    await until(
      'an empty list',
      20_000,
      async () => (await config()).drainingPodUIDs.length === 0 && (await scaling())?.drains === undefined,
    );
    assert.equal(await told('ScalingReady'), 'True FixedReplicas');
    assert.ok(await recorded('DrainStarted'));
  });

  it('waits for each router to take the list over, also for one that is slow', async () => {
    await admin.create(r2rDeployments, example({}, { replicas: 2 }));
    await isReady();
    await replicas(2);
    cluster.deaf = true;
    await until('routers that know the configuration', 10_000, async () => (await told('RouterReady')).startsWith('True'));
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { replicas: 1 } } });
    await until('a pod in the list', 20_000, async () => (await config()).drainingPodUIDs.length === 1);
    await sleep(2_000);
    assert.equal((await llmChild()).spec?.replicas, 2);
    cluster.deaf = false;
    await replicas(1);
  });

  it('gives a drain up when the pod is wanted after all', async () => {
    await admin.create(r2rDeployments, example());
    await isReady();
    await replicas(2);
    for (const { metadata } of await llmPods()) cluster.inFlight.set(metadata.name, 1);
    const names = (await llmPods()).map(({ metadata }) => metadata.name).sort();
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { replicas: 1 } } });
    await until('a pod in the list', 20_000, async () => (await config()).drainingPodUIDs.length === 1);
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { replicas: 2 } } });
    await until('an empty list', 20_000, async () => (await config()).drainingPodUIDs.length === 0);
    await replicas(2);
    assert.deepEqual((await llmPods()).map(({ metadata }) => metadata.name).sort(), names);
    assert.deepEqual(cluster.events, []);
  });

  it('goes on with a drain that another operator has begun, with the same pod', async () => {
    await admin.create(r2rDeployments, example());
    await isReady();
    await replicas(2);
    for (const { metadata } of await llmPods()) cluster.inFlight.set(metadata.name, 1);
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { replicas: 1 } } });
    const [uid] = await until('a drain in list and status', 20_000, async () => {
      const { drainingPodUIDs } = await config();
      return (await scaling())?.drains?.length === 1 && drainingPodUIDs.length === 1 && drainingPodUIDs;
    });
    const since = (await scaling())?.drains?.[0]?.since;
    await stopOperators();
    startOperator();
    await sleep(2_000);
    assert.deepEqual((await config()).drainingPodUIDs, [uid]);
    assert.equal((await scaling())?.drains?.[0]?.since, since);
    cluster.inFlight.clear();
    await replicas(1);
    assert.ok((await llmPods()).every(({ metadata }) => metadata.uid !== uid));
  });

  it('goes on wanting what was wanted when another operator takes over', async () => {
    await admin.create(r2rDeployments, example({ autoscaling: { ...quick, scaleDown: { windowSeconds: 3600 } } }));
    await isReady();
    cluster.callsPerSecond = 1_000;
    await until('more than two', 60_000, async () => ((await scaling())?.wantedReplicas ?? 0) > 2);
    const wanted = (await scaling())?.wantedReplicas ?? 0;
    const { decisions } = (await scaling()) ?? {};
    cluster.callsPerSecond = 0;
    cluster.silent = true;
    await stopOperators();
    const { events: before } = cluster;
    const count = before.length;
    startOperator();
    await sleep(3_000);
    assert.deepEqual(
      before.slice(count).filter((event) => !event.includes(` to ${wanted}`)),
      [],
    );
    assert.deepEqual((await scaling())?.decisions, decisions);
    cluster.silent = false;
  });

  it('holds the pool, and says so, while routers do not answer', async () => {
    cluster.callsPerSecond = 60;
    await admin.create(r2rDeployments, example({ autoscaling: { ...quick, scaleDown: { windowSeconds: 3600 } } }));
    await isReady();
    await until('a known demand', 30_000, async () => (await told('ScalingReady')).startsWith('True'));
    const wanted = (await scaling())?.wantedReplicas;
    cluster.silent = true;
    await until('StaleMetrics', 60_000, async () => (await told('ScalingReady')) === 'False StaleMetrics');
    assert.equal((await scaling())?.wantedReplicas, wanted);
    cluster.silent = false;
    await until('a known demand again', 30_000, async () => (await told('ScalingReady')).startsWith('True'));
  });

  it('follows maxReplicas and minReplicas at once', async () => {
    await admin.create(r2rDeployments, example({ autoscaling: { ...quick, minReplicas: 3 } }));
    await isReady();
    await replicas(3);
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { autoscaling: { minReplicas: 1, maxReplicas: 1 } } } });
    await replicas(1);
    assert.equal((await scaling())?.decisions?.[0]?.reason, 'BoundsChanged');
  });

  it('follows /scale, and reverts a child that was edited by hand, as long as autoscaling is not set', async () => {
    await admin.create(r2rDeployments, example());
    await isReady();
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { replicas: 4 } }, { subresource: 'scale' });
    await replicas(4);
    const scale = await admin.raw({ path: `/apis/r2r.dev/v1alpha1/namespaces/${namespace}/r2rdeployments/${name}/scale` });
    const { status } = JSON.parse(scale) as { status: { replicas: number; selector: string } };
    assert.equal(status.replicas, 4);
    assert.match(status.selector, /component=llm/);
    await until('it is reached', 30_000, async () => (await told('Reconciling')) === 'False UpToDate');
    await admin.patch(deployments, { namespace, name: await llmName() }, { spec: { replicas: 6 } });
    await replicas(4);
    await until('the event', 20_000, () => recorded('DriftCorrected'));
  });

  it('ignores /scale while autoscaling is set, and goes to `replicas` when it is taken out', async () => {
    await admin.create(r2rDeployments, example({ autoscaling: { ...quick, minReplicas: 3 } }));
    await isReady();
    await replicas(3);
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { replicas: 5 } }, { subresource: 'scale' });
    await sleep(2_000);
    assert.equal((await llmChild()).spec?.replicas, 3);
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { autoscaling: null } } });
    await replicas(5);
    assert.equal(await told('ScalingReady'), 'True FixedReplicas');
    assert.equal((await read()).status?.scaling, undefined);
  });

  it('goes to zero when nobody asks, stays Ready, holds requests by the routers, and comes back when one waits', async () => {
    const autoscaling = { ...quick, minReplicas: 0, idleSecondsBeforeZero: 10 };
    await admin.create(r2rDeployments, example({ replicas: 1, autoscaling }));
    await isReady();
    await replicas(0, 90_000);
    assert.equal((await config()).llmScaledToZero, true);
    assert.equal(await told('Ready'), 'True Serving');
    assert.equal(await told('LLMReady'), 'True ScaledToZero');
    assert.equal(await told('ScalingReady'), 'True ScaledToZero');
    cluster.full = true;
    cluster.held = 2;
    await until('a pod that is coming', 20_000, async () => (await llmPods()).length === 1);
    await sleep(1_000);
    assert.equal((await config()).llmScaledToZero, true, 'requests still have to wait');
    assert.equal(await told('Ready'), 'True Serving');
    cluster.full = false;
    await replicas(1);
    await until('an ordinary pool', 20_000, async () => (await config()).llmScaledToZero === undefined);
    assert.ok((await scaling())?.decisions?.some(({ reason }) => reason === 'WokenUp'));
  });

  it('brings the old revision back from zero when a request waits during a roll-out that does not get on', async () => {
    const autoscaling = { ...quick, minReplicas: 0, idleSecondsBeforeZero: 10 };
    await admin.create(r2rDeployments, example({ replicas: 1, autoscaling }));
    const first = await isReady();
    await replicas(0, 90_000);
    cluster.stuck = true;
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { slm: { contextLength: 512 } } });
    await until('a roll-out', 20_000, async () => (await read()).status?.revision?.target !== first);
    await sleep(1_000);
    assert.equal((await llmPods()).length, 0);
    cluster.held = 1;
    await until('an LLM pod of the old revision', 20_000, async () =>
      (await llmPods()).some(({ metadata }) => metadata.labels?.['r2r.dev/revision'] === first),
    );
    cluster.stuck = false;
    await until('the new revision', 60_000, async () => (await read()).status?.revision?.serving !== first);
    await replicas(1);
  });

  it('gives the revision that answers more replicas during a roll-out that takes long, takes none away, and the new one has as many', async () => {
    cluster.callsPerSecond = 20;
    await admin.create(r2rDeployments, example({ replicas: 1, autoscaling: quick }));
    const first = await isReady();
    await replicas(1);
    const own = async (): Promise<readonly string[]> =>
      (await llmPods()).filter(({ metadata }) => metadata.labels?.['r2r.dev/revision'] === first).map(({ metadata }) => metadata.uid);
    const before = await own();
    cluster.full = true;
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { slm: { contextLength: 512 } } });
    await until('a roll-out', 20_000, async () => (await read()).status?.revision?.target !== first);
    cluster.callsPerSecond = 1_000;
    await until('4 LLM pods of the old revision', 60_000, async () => (await own()).length === 4);
    assert.ok((await own()).includes(before[0]!), 'what was there stays');
    assert.equal((await read()).status?.scaling?.llm?.wantedReplicas, 4);
    cluster.callsPerSecond = 20;
    cluster.threshold = 0.9;
    await sleep(3_000);
    assert.equal((await own()).length, 4, 'none is taken away before the new revision answers');
    cluster.full = false;
    await until('the new revision', 60_000, async () => (await read()).status?.revision?.serving !== first);
    await replicas(1, 120_000);
  });

  it('says that there is no room when replicas do not come in time, and no longer keeps requests waiting', async () => {
    const autoscaling = { ...quick, minReplicas: 0, idleSecondsBeforeZero: 10, pendingDeadlineSeconds: 10 };
    await admin.create(r2rDeployments, example({ replicas: 1, autoscaling }));
    await isReady();
    await replicas(0, 90_000);
    cluster.full = true;
    cluster.held = 1;
    await until('InsufficientCapacity', 60_000, async () => (await told('ScalingReady')) === 'False InsufficientCapacity');
    await until('routers on their own', 20_000, async () => (await config()).llmScaledToZero === undefined);
    await until('the event', 20_000, () => recorded('InsufficientCapacity'));
    cluster.full = false;
    cluster.held = 0;
    await replicas(1);
  });

  const onGpus = { engine: 'SGLang', tensorParallelSize: 2 };

  it('stays within the GPU budget, and says so', async () => {
    cluster.callsPerSecond = 1_000;
    await admin.create(r2rDeployments, example({ ...onGpus, replicas: 1, autoscaling: { ...quick, gpuBudget: 5 } }));
    await isReady();
    await replicas(2);
    await until('GpuBudgetReached', 60_000, async () => (await told('ScalingReady')) === 'True GpuBudgetReached');
    assert.equal((await llmPods()).length, 2);
  });

  it('counts both revisions against the GPU budget: a roll-out waits for room, begins small, and grows when the old one is gone', async () => {
    const autoscaling = { ...quick, minReplicas: 2, gpuBudget: 4 };
    await admin.create(r2rDeployments, example({ ...onGpus, autoscaling }));
    const first = await isReady();
    await replicas(2);
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { contextLength: 512 } } });
    await until('InsufficientCapacity', 30_000, async () => (await told('LLMReady')) === 'False InsufficientCapacity');
    assert.equal(await told('Ready'), 'False InsufficientCapacity');
    const message = (await condition('LLMReady'))?.message ?? '';
    assert.match(message, /spec\.llm\.autoscaling\.gpuBudget: the 4 GPUs are in use by the revision that answers; raise it/);
    assert.equal((await llmChild()).spec?.replicas, 0);
    const count = async (revision: string): Promise<number> =>
      (await llmPods()).filter(({ metadata }) => metadata.labels?.['r2r.dev/revision'] === revision).length;
    assert.equal(await count(first), 2);
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { autoscaling: { gpuBudget: 6 } } } });
    const second = (await read()).status?.revision?.target ?? '';
    let most = 0;
    await until('the endpoint at the new revision', 60_000, async () => {
      most = Math.max(most, (await llmPods()).length);
      return (await read()).status?.revision?.serving === second;
    });
    assert.equal(most, 3, 'two old ones and one new one');
    await replicas(2);
    assert.deepEqual([await count(first), await count(second)], [0, 2]);
    assert.equal(await told('Ready'), 'True Serving');
  });

  it('has a router measure the capacity of a replica once, keeps it by revision, and scales by it', async () => {
    cluster.benchmarked = 50;
    const { capacityPerReplica: _, ...measured } = quick;
    await admin.create(r2rDeployments, example({ replicas: 1, autoscaling: measured }));
    await isReady();
    const capacities = await until('the capacity', 30_000, async () => (await scaling())?.capacities);
    assert.deepEqual(
      capacities.map(({ revision, perSecond, source }) => [revision, perSecond, source]),
      [[(await read()).status?.revision?.serving, 50, 'Benchmark']],
    );
    assert.equal(cluster.benchmarks, 1);
    cluster.callsPerSecond = 1_000;
    await replicas(4);
  });

  it('scales the SLM pods by the tokens that they draft, and says which field is ignored', async () => {
    await admin.create(r2rDeployments, example({}, { autoscaling: { ...quick, capacityPerReplica: 1000 } }));
    await isReady();
    cluster.draftedPerSecond = 20_000;
    await until('four SLM pods', 60_000, async () => (await read()).status?.summary?.slm === '4/4');
    const message = (await condition('ScalingReady'))?.message ?? '';
    assert.match(message, /^SLM: 4 wanted; .*spec\.slm\.replicas is ignored while autoscaling is set\. spec\.llm\.replicas is followed$/);
    assert.equal((await read()).status?.scaling?.llm, undefined);
  });

  it('writes nothing while the load is steady', async () => {
    cluster.callsPerSecond = 75;
    await admin.create(r2rDeployments, example({ autoscaling: quick }));
    await isReady();
    const writes = async (): Promise<string> => {
      const isWrite = /^kube_client_requests_total\{.*verb="(apply|apply_status|patch|create|delete|replace)/i;
      return ((await operators[0]?.registry.metrics()) ?? '')
        .split('\n')
        .filter((line) => isWrite.test(line))
        .sort()
        .join('\n');
    };
    let before = '';
    let quiet = 0;
    // routing numbers are written every 30 s at most, and here they never change
    await until('five quiet seconds', 90_000, async () => {
      const now = await writes();
      quiet = now === before ? quiet + 1 : 0;
      before = now;
      await sleep(1_000);
      return quiet >= 5;
    });
  });
});
