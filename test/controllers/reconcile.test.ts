/** The controller against a real API server. There is no kubelet here: pods never start, and a test plays the Deployment controller's part. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { parse } from 'yaml';
import { customResourceDefinition } from '../../src/api/crd.ts';
import { findCondition } from '../../src/api/conditions.ts';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import { r2rDeployments } from '../../src/controllers/caches.ts';
import { addR2RDeploymentController } from '../../src/controllers/r2rdeployment-controller.ts';
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
  serviceAccounts,
  services,
  silentLogger,
} from '../../src/kube/index.ts';
import type { Live, Manifest, ResourceType } from '../../src/kube/index.ts';
import { controlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/progress.ts';

/** No router runs here; a test may say what one would answer. */
let routerAnswer: RouterStatus | undefined;
const routers: RouterClient = {
  status: () => Promise.resolve(routerAnswer),
  probe: () => Promise.resolve('no router'),
  close: () => Promise.resolve(),
};
const name = 'demo';

describe('the R2RDeployment controller on a real API server', function () {
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
    await admin.apply(customResourceDefinitions, customResourceDefinition());
    await until('the CRD is served', 30_000, async () => (await admin.list(r2rDeployments)).items.length >= 0);
    // other test files may have left resources behind, some of them refused and tried again and again
    for (const { metadata } of (await admin.list(r2rDeployments)).items) await admin.delete(r2rDeployments, metadata);
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
    namespace = `controller-${randomBytes(4).toString('hex')}`;
    await admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  });

  after(async () => {
    stop.abort();
    await running;
    await Promise.all([admin.close(), operator.close()]);
  });

  function example(spec: object = {}): Manifest {
    const file = readFileSync(join(import.meta.dirname, '../../examples/r2rdeployment.yaml'), 'utf8');
    const base = parse(file) as R2RDeployment;
    return { ...base, metadata: { name, namespace }, spec: { ...base.spec, ...spec } };
  }

  const read = (): Promise<Live<R2RDeployment>> => admin.get(r2rDeployments, { namespace, name });
  const told = async (type: 'Ready' | 'Stalled' | 'Reconciling'): Promise<string> => {
    const condition = findCondition((await read()).status?.conditions, type);
    return `${condition?.status} ${condition?.reason}`;
  };
  const revision = (): Promise<string> => until('a target revision', 30_000, async () => (await read()).status?.revision?.target);
  /** How often the operator has written, by verb and resource. */
  const writes = async (): Promise<string> => {
    const isWrite = /^kube_client_requests_total\{.*verb="(apply|apply_status|patch|create|delete|replace)/i;
    const lines = (await registry.metrics()).split('\n').filter((line) => isWrite.test(line));
    return lines.sort().join('\n');
  };

  it('makes every child, owned by the resource, and says that it is being rolled out', async () => {
    await admin.create(r2rDeployments, example());
    const target = await revision();
    const owner = await read();
    for (const [type, child] of [
      [deployments, `${name}-${target}-slm`],
      [deployments, `${name}-${target}-llm`],
      [services, `${name}-${target}-llm`],
      [services, name],
      [configMaps, `${name}-${target}-router`],
    ] as const) {
      const object = await until(`${type.kind} ${child}`, 30_000, () => admin.find(type as ResourceType, { namespace, name: child }));
      assert.equal(object.metadata.ownerReferences?.[0]?.uid, owner.metadata.uid);
    }
    assert.equal(await told('Reconciling'), 'True Updating');
    assert.equal(await told('Ready'), 'False PodsNotReady');
  });

  it('sends no write at all for a resource whose children are as they should be', async () => {
    await admin.create(r2rDeployments, example());
    await revision();
    let before = '';
    let quiet = 0;
    await until('the writes of the first reconcile are over', 60_000, async () => {
      const now = await writes();
      quiet = now === before ? quiet + 1 : 0;
      before = now;
      await sleep(1_000);
      return quiet >= 4 && now !== '';
    });
    // a label makes the controller look again, and pollMs.whileUnderWay does so in any case
    await admin.patch(r2rDeployments, { namespace, name }, { metadata: { labels: { looked: 'again' } } });
    await sleep(5_000);
    assert.equal(await writes(), before);
  });

  it('counts deployments by readiness', async () => {
    await admin.create(r2rDeployments, example());
    await revision();
    assert.match(await registry.metrics(), /^r2r_operator_deployments\{ready="False"\} [1-9]/m);
  });

  it('reverts a child edited by hand and makes a deleted one again', async () => {
    await admin.create(r2rDeployments, example());
    const llm = { namespace, name: `${name}-${await revision()}-llm` };
    const made = await until('the LLM Deployment', 30_000, () => admin.find(deployments, llm));
    await admin.patch(deployments, llm, { spec: { replicas: 7 } });
    await until('two replicas again', 5_000, async () => (await admin.get(deployments, llm)).spec?.replicas === 2);
    await admin.delete(deployments, llm);
    await until('another Deployment', 5_000, async () => {
      const again = await admin.find(deployments, llm);
      return again !== undefined && again.metadata.uid !== made.metadata.uid;
    });
  });

  it('replaces the router pods when their ServiceAccount was made again, whose old token is worth nothing', async () => {
    await admin.create(r2rDeployments, example());
    const target = await revision();
    const account = { namespace, name: `${name}-${target}-router` };
    const slm = { namespace, name: `${name}-${target}-slm` };
    const uidInTemplate = async (): Promise<string | undefined> =>
      (await admin.find(deployments, slm))?.spec?.template.metadata?.annotations?.['r2r.dev/service-account-uid'];
    const before = await until('a Deployment tied to the account', 30_000, uidInTemplate);
    assert.equal(before, (await admin.get(serviceAccounts, account)).metadata.uid);
    await admin.delete(serviceAccounts, account);
    await until('a Deployment tied to the new account', 10_000, async () => {
      const uid = await uidInTemplate();
      return uid !== before && uid === (await admin.get(serviceAccounts, account)).metadata.uid;
    });
  });

  it('follows the threshold into the ConfigMap without touching a pod template', async () => {
    await admin.create(r2rDeployments, example());
    const target = await revision();
    const slm = { namespace, name: `${name}-${target}-slm` };
    const before = await until('the SLM Deployment', 30_000, () => admin.find(deployments, slm));
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { router: { threshold: 0.9 } } });
    await until('the new threshold', 10_000, async () => {
      const map = await admin.get(configMaps, { namespace, name: `${name}-${target}-router` });
      return map.data?.['router.json']?.includes('"threshold":0.9');
    });
    assert.equal((await admin.get(deployments, slm)).metadata.generation, before.metadata.generation);
  });

  /** A ready SLM pod of the target, as the Deployment would make it. There is no kubelet: its status is what we write. */
  const makePod = async (): Promise<{ namespace: string; name: string }> => {
    const slm = { namespace, name: `${name}-${await revision()}-slm` };
    const { spec } = await until('the SLM Deployment', 30_000, () => admin.find(deployments, slm));
    const pod = { namespace, name: `pod-${randomBytes(4).toString('hex')}` };
    await admin.create(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...pod, labels: spec?.template.metadata?.labels },
      // no node takes it, and no controller owns it
      spec: { ...spec?.template.spec, serviceAccountName: 'default', nodeSelector: { 'r2r.dev/none': 'here' } },
    });
    const running = { ready: true, restartCount: 0, image: 'i', imageID: 'i', state: { running: {} } };
    const status = {
      podIP: '192.0.2.1',
      conditions: [{ type: 'Ready', status: 'True' }],
      containerStatuses: [{ name: 'router', ...running }],
    };
    await admin.patch(pods, pod, { status }, { subresource: 'status' });
    return pod;
  };

  it('leads both ports of the endpoint to pods while TLS is being switched on, and one when the last plain pod is gone', async () => {
    await admin.create(r2rDeployments, example());
    const plain = await makePod();
    const servicePorts = async (): Promise<string> =>
      ((await admin.find(services, { namespace, name }))?.spec?.ports ?? []).map(({ port, targetPort }) => `${port} ${targetPort}`).join();
    await until('port 80', 30_000, async () => (await servicePorts()) === '80 http');
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { api: { tls: { secretName: 'certificate' } } } });
    await until('both ports', 10_000, async () => (await servicePorts()) === '80 http,443 https');
    await until('the endpoint that answers', 10_000, async () => (await read()).status?.observedGeneration === 2);
    assert.equal((await read()).status?.endpoint, `http://${name}.${namespace}.svc`);
    const secure = await makePod();
    await until('the endpoint of the spec', 10_000, async () => (await read()).status?.endpoint === `https://${name}.${namespace}.svc`);
    await admin.delete(pods, plain, { gracePeriodSeconds: 0 });
    await until('port 443 alone', 10_000, async () => (await servicePorts()) === '443 https');
    await admin.delete(pods, secure, { gracePeriodSeconds: 0 });
  });

  it("writes the router network's bundle, its refusal and whether routing pays as the CRD takes them", async () => {
    const none = { slm: 0, llm: 0, fallback: 0 };
    await admin.create(r2rDeployments, example());
    const target = await revision();
    const map = { namespace, name: `${name}-${target}-router` };
    const config = await until('the configuration', 30_000, async () => (await admin.find(configMaps, map))?.data?.['router.json']);
    routerAnswer = {
      configDigest: createHash('sha256').update(config).digest('hex'),
      strategy: 'neural',
      threshold: 0.406,
      bundle: { state: 'Refused', message: 'trained for another SLM', digest: 'ab', precision: 'int8' },
      alarms: [{ reason: 'SlowerThanLLM', message: '60% of the tokens come from the LLM' }],
      waitingFor: [],
      inFlight: 0,
      tokensTotal: none,
      window: { seconds: 60, tokens: none, tokensPerSecond: 0 },
      parameters: {},
      llmEndpoints: [],
    };
    const pod = await makePod();
    const status = await until('the bundle in the status', 20_000, async () => {
      const found = (await read()).status;
      return found?.router?.bundle && found;
    });
    assert.deepEqual(status.router?.bundle, { digest: 'ab', precision: 'int8' });
    assert.equal(status.router.threshold, 0.406);
    assert.equal(findCondition(status.conditions, 'RouterReady')?.reason, 'BundleRefused');
    assert.equal(findCondition(status.conditions, 'RoutingBeneficial')?.reason, 'SlowerThanLLM');
    await admin.delete(pods, pod, { gracePeriodSeconds: 0 });
  });

  it('never takes over a Service that is not its own, says so, and goes on when it is gone', async () => {
    const foreign = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, namespace },
      spec: { ports: [{ port: 80 }], selector: { mine: 'yes' } },
    };
    await admin.create(services, foreign);
    await admin.create(r2rDeployments, example());
    await until('Stalled', 30_000, async () => (await told('Stalled')) === 'True NameTaken');
    assert.deepEqual((await admin.get(services, { namespace, name })).spec?.selector, { mine: 'yes' });
    await admin.delete(services, { namespace, name });
    await until('not Stalled', 60_000, async () => (await told('Stalled')) === 'False NoProblem');
  });

  it('keeps the children of a spec that it cannot render, and names the field', async () => {
    await admin.create(r2rDeployments, example());
    const llm = { namespace, name: `${name}-${await revision()}-llm` };
    await until('the LLM Deployment', 30_000, () => admin.find(deployments, llm));
    const overlay = { spec: { containers: [{ name: 'engine', $patch: 'delete' }] } };
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { podTemplate: overlay } } });
    await until('Stalled', 10_000, async () => (await told('Stalled')) === 'True SpecInvalid');
    const message = findCondition((await read()).status?.conditions, 'Ready')?.message ?? '';
    assert.match(message, /^spec\.llm\.podTemplate\.spec\.containers: must not remove the container "engine"/);
    assert.ok(await admin.find(deployments, llm));
  });

  it('says what the API server has against an overlay, and goes on when it is mended', async () => {
    await admin.create(r2rDeployments, example());
    await revision();
    const overlay = { spec: { terminationGracePeriodSeconds: 'a while' } };
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { podTemplate: overlay } } });
    await until('Stalled', 20_000, async () => (await told('Stalled')) === 'True ApplyFailed');
    assert.match(findCondition((await read()).status?.conditions, 'Stalled')?.message ?? '', /terminationGracePeriodSeconds/);
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { llm: { podTemplate: null } } });
    await until('not Stalled', 20_000, async () => (await told('Stalled')) === 'False NoProblem');
  });

  it('drops the NetworkPolicies when the spec switches them off', async () => {
    await admin.create(r2rDeployments, example());
    const target = await revision();
    const policy = { group: 'networking.k8s.io', version: 'v1', plural: 'networkpolicies', kind: 'NetworkPolicy', namespaced: true };
    await until('the policy', 30_000, () => admin.find(policy, { namespace, name: `${name}-${target}-llm` }));
    await admin.patch(r2rDeployments, { namespace, name }, { spec: { networkPolicy: { enabled: false } } });
    await until('no policy', 10_000, async () => !(await admin.find(policy, { namespace, name: `${name}-${target}-llm` })));
  });
});
