/**
 * kstatus, Argo CD's script and `kubectl wait` on resources that the real controller looks after, on a real API server with a
 * controller-manager. There is no node: the test plays the kubelet of the pods, and what a router would answer.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Registry } from 'prom-client';
import { parse } from 'yaml';
import { customResourceDefinition } from '../../src/api/crd.ts';
import { routerCustomResourceDefinition } from '../../src/api/r2rrouter-crd.ts';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import { r2rDeployments, r2rRouters } from '../../src/controllers/resource-types.ts';
import { addR2RDeploymentController } from '../../src/controllers/r2rdeployment-controller.ts';
import type { RouterClient } from '../../src/controllers/router-client.ts';
import {
  EventRecorder,
  KubeClient,
  KubeMetrics,
  Manager,
  configMaps,
  customResourceDefinitions,
  namespaces,
  pods,
  silentLogger,
} from '../../src/kube/index.ts';
import { controlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/progress.ts';
import { controlPlaneTools } from '../cluster/tools.ts';
import { goTool, goTools } from '../support/go/go-tool.ts';
import { controllerManager } from './controller-manager.ts';
import { argoHealth, kstatus } from './judges.ts';
import { kubectlWith } from './ways.ts';
import type { Kubectl } from './ways.ts';

const namespace = 'health';
const name = 'tiny';
const script = 'examples/gitops/argo-cd/r2r.dev/R2RDeployment/health.lua';

describe('the health of an R2RDeployment that the controller looks after', function () {
  this.timeout(60 * 60_000);
  let admin: KubeClient;
  let kubectl: Kubectl;
  let stopControllers: () => void;
  let stopOperator: (() => Promise<void>) | undefined;

  /** Routers that take over every configuration and answer the probe: no router can run here. */
  const routers: RouterClient = {
    status: async () => {
      const map = (await admin.list(configMaps, { namespace })).items.find(({ metadata }) => metadata.name.endsWith('-router'));
      const none = { slm: 0, llm: 0, fallback: 0 };
      return {
        configDigest: createHash('sha256')
          .update(map?.data?.['router.json'] ?? '')
          .digest('hex'),
        strategy: 'neural',
        bundle: { state: 'Serving', digest: 'ab', precision: 'int8' },
        alarms: [],
        waitingFor: [],
        inFlight: 0,
        tokensTotal: none,
        window: { seconds: 60, tokens: none, tokensPerSecond: 0 },
        parameters: {},
        llmEndpoints: [],
      };
    },
    probe: () => Promise.resolve(undefined),
    close: () => Promise.resolve(),
  };

  async function startOperator(): Promise<void> {
    const plane = await controlPlane();
    const registry = new Registry();
    const metrics = new KubeMetrics(registry);
    const client = KubeClient.fromConfig(plane.kubeConfig(), { fieldManager: 'r2r-operator', metrics });
    const manager = new Manager({ client, metrics });
    addR2RDeploymentController(manager, {
      client,
      recorder: new EventRecorder(admin, { controller: 'r2r.dev/operator', instance: 'test' }),
      routers,
      render: { routerImage: 'registry.example/router:1', operatorNamespace: 'r2r-system' },
      logger: silentLogger,
      metrics,
      registry,
      concurrency: 2,
    });
    const stop = new AbortController();
    const running = manager.run(stop.signal);
    stopOperator = async () => {
      stopOperator = undefined;
      stop.abort();
      await running;
      await client.close();
    };
  }

  before(async () => {
    await goTool(goTools.judges);
    const { kubectl: program } = await controlPlaneTools();
    const plane = await controlPlane();
    kubectl = kubectlWith(program, plane.kubeconfigFile);
    stopControllers = await controllerManager(plane.kubeconfigFile);
    admin = KubeClient.fromConfig(plane.kubeConfig(), { fieldManager: 'a-person' });
    for (const crd of [customResourceDefinition(), routerCustomResourceDefinition()]) await admin.apply(customResourceDefinitions, crd);
    await until('the CRDs are served', 30_000, async () => (await admin.list(r2rDeployments)).items.length >= 0);
    await until('that of R2RRouters, too', 30_000, async () => (await admin.list(r2rRouters)).items.length >= 0);
    await admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    const example = parse(readFileSync('examples/r2rdeployment.yaml', 'utf8')) as R2RDeployment;
    await admin.create(r2rDeployments, { ...example, metadata: { name, namespace } });
  });
  after(async () => {
    await stopOperator?.();
    await kubectl(['delete', 'crd', 'r2rdeployments.r2r.dev', 'r2rrouters.r2r.dev', '--timeout=120s']);
    stopControllers();
    await admin.close();
  });

  const judged = async (): Promise<string> => {
    const object = await admin.get(r2rDeployments, { namespace, name });
    const [[flux], [argo]] = await Promise.all([kstatus([object]), argoHealth(script, [object])]);
    return `${flux?.status} ${argo?.status}`;
  };
  const becomes = (verdict: string) => {
    let last = '';
    return until(verdict, 60_000, async () => {
      last = await judged();
      if (last !== verdict) throw new Error(`it is ${last}`);
      return true;
    });
  };

  /** Plays the kubelet: every pod of the deployment runs, and is ready or not. */
  const makePods = async (ready: boolean): Promise<void> => {
    await until('three pods', 60_000, async () => (await admin.list(pods, { namespace })).items.length === 3);
    for (const pod of (await admin.list(pods, { namespace })).items) {
      const state = (each: { readonly name: string }) => ({
        name: each.name,
        ready,
        restartCount: 0,
        image: 'i',
        imageID: 'i',
        state: { running: {} },
      });
      const condition = (type: string, holds: boolean) => ({
        type,
        status: holds ? 'True' : 'False',
        lastTransitionTime: new Date().toISOString(),
      });
      const status = {
        phase: 'Running',
        podIP: '192.0.2.1',
        podIPs: [{ ip: '192.0.2.1' }],
        conditions: [condition('Ready', ready), condition('ContainersReady', ready), condition('PodScheduled', true)],
        containerStatuses: pod.spec?.containers.map(state),
        initContainerStatuses: pod.spec?.initContainers?.map(state),
      };
      await admin.patch(pods, { namespace, name: pod.metadata.name }, { status }, { subresource: 'status' });
    }
  };

  it('is in progress while no operator has looked at it', async () => {
    assert.equal(await judged(), 'InProgress Progressing');
    await assert.rejects(
      kubectl(['wait', '--for=condition=Ready', `r2rdeployment/${name}`, '--namespace', namespace, '--timeout=1s']),
      /timed out/,
    );
  });

  it('is in progress while pods start', async () => {
    await startOperator();
    await until('conditions', 30_000, async () => (await admin.get(r2rDeployments, { namespace, name })).status?.conditions !== undefined);
    assert.equal(await judged(), 'InProgress Progressing');
  });

  it('is current when all of them answer, and kubectl wait returns', async () => {
    const wait = kubectl(['wait', '--for=condition=Ready', `r2rdeployment/${name}`, '--namespace', namespace, '--timeout=90s']);
    await makePods(true);
    assert.match(await wait, /condition met/);
    await becomes('Current Healthy');
  });

  it('is degraded to Argo CD when pods fall ill, which kstatus knows only as in progress', async () => {
    await makePods(false);
    await becomes('InProgress Degraded');
    await makePods(true);
    await becomes('Current Healthy');
  });

  it('fails when the spec cannot be rendered', async () => {
    const overlay = { spec: { containers: [{ image: 'without-a-name' }] } };
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { podTemplate: overlay } } });
    await becomes('Failed Degraded');
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { podTemplate: null } } });
    await becomes('Current Healthy');
  });

  it('is in progress at once when the spec changes, before the operator has seen it', async () => {
    await stopOperator?.();
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { router: { threshold: 0.7 } } });
    assert.equal(await judged(), 'InProgress Progressing');
    await startOperator();
    await becomes('Current Healthy');
  });

  it('is terminating to kstatus while something holds its deletion up', async () => {
    await admin.patch(r2rDeployments, { namespace, name }, { metadata: { finalizers: ['example.com/hold'] } });
    await admin.delete(r2rDeployments, { namespace, name });
    assert.match(await judged(), /^Terminating /);
    await admin.patch(r2rDeployments, { namespace, name }, { metadata: { finalizers: null } });
  });
});
