/** The controller against a real API server. There is no kubelet here: pods never start, and a test plays the Deployment controller's part. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { parse } from 'yaml';
import { customResourceDefinition } from '../../src/api/crd.ts';
import { routerCustomResourceDefinition } from '../../src/api/r2rrouter-crd.ts';
import type { R2RRouterStatus } from '../../src/api/r2rrouter-status.ts';
import { findCondition } from '../../src/api/conditions.ts';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import { r2rDeployments, r2rRouters } from '../../src/controllers/resource-types.ts';
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
  events,
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
    for (const crd of [customResourceDefinition(), routerCustomResourceDefinition()]) await admin.apply(customResourceDefinitions, crd);
    await until('the CRDs are served', 30_000, async () => (await admin.list(r2rDeployments)).items.length >= 0);
    await until('that of R2RRouters, too', 30_000, async () => (await admin.list(r2rRouters)).items.length >= 0);
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
  const told = async (type: 'Ready' | 'Stalled' | 'Reconciling' | 'RouterReady'): Promise<string> => {
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

  describe('with a router from an R2RRouter', () => {
    const math = { preset: 'tiny', source: { labels: { path: 'pvc://data/labels' } } };
    const router = (spec: object = {}): Manifest => ({
      apiVersion: 'r2r.dev/v1alpha1',
      kind: 'R2RRouter',
      metadata: { name: 'math', namespace },
      spec: { ...math, ...spec },
    });
    const following = (more: object = {}): Manifest => example({ router: { checkpoint: { routerRef: { name: 'math' } }, ...more } });

    /** Plays the R2RRouter's controller, whose status says who gets what. */
    const assign = async (digest?: string, place = 'pvc://math-workspace/store'): Promise<void> => {
      const history = ['bb', 'aa'].map((each) => ({
        digest: each,
        uri: `${place}/bundles/${each}`,
        hash: 'h',
        gate: 'Passed' as const,
        message: 'good',
        madeAt: '2026-01-01T00:00:00Z',
      }));
      const status: R2RRouterStatus = { history, deployments: digest === undefined ? [] : [{ name, digest, state: 'Updating' }] };
      await admin.patch(r2rRouters, { namespace, name: 'math' }, { status }, { subresource: 'status' });
    };
    const configured = async (): Promise<{ checkpoint?: { uri: string }; strategy?: string; threshold?: number }> => {
      const map = await admin.find(configMaps, { namespace, name: `${name}-${await revision()}-router` });
      return JSON.parse(map?.data?.['router.json'] ?? '{}') as object;
    };
    const loads = (uri: string | undefined): Promise<unknown> =>
      until(`the configuration with ${uri ?? 'no bundle'}`, 20_000, async () => {
        const config = await configured();
        return config.strategy !== undefined && config.checkpoint?.uri === uri;
      });

    it('makes nothing before that R2RRouter is there, says which one, and goes on when it comes', async () => {
      await admin.create(r2rDeployments, following());
      await until('Stalled', 30_000, async () => (await told('Stalled')) === 'True RouterNotFound');
      assert.equal(await told('RouterReady'), 'False RouterNotFound');
      const message = findCondition((await read()).status?.conditions, 'Ready')?.message ?? '';
      assert.match(message, /^spec\.router\.checkpoint\.routerRef\.name: there is no R2RRouter math in namespace/);
      assert.equal((await admin.list(deployments, { namespace })).items.length, 0);
      await admin.create(r2rRouters, router());
      await until('not Stalled', 20_000, async () => (await told('Stalled')) === 'False NoProblem');
      const slm = { namespace, name: `${name}-${await revision()}-slm` };
      const { spec } = await until('the SLM Deployment', 20_000, () => admin.find(deployments, slm));
      const claims = spec?.template.spec?.volumes?.flatMap(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName ?? []);
      assert.deepEqual(claims, ['math-workspace']);
    });

    it('changes the configuration alone when a first bundle is assigned, then another, then none', async () => {
      await admin.create(r2rRouters, router());
      await admin.create(r2rDeployments, following({ threshold: 0.7 }));
      const target = await revision();
      await loads(undefined);
      const { strategy, threshold } = await configured();
      assert.deepEqual([strategy, threshold], ['entropy', 0.45]);
      const slm = { namespace, name: `${name}-${target}-slm` };
      const before = await until('the SLM Deployment', 30_000, () => admin.find(deployments, slm));
      for (const digest of ['aa', 'bb']) {
        await assign(digest);
        await loads(`pvc://math-workspace/store/bundles/${digest}`);
        const config = await configured();
        assert.deepEqual([config.strategy, config.threshold], ['neural', 0.7]);
      }
      await assign();
      await loads(undefined);
      assert.equal((await read()).status?.revision?.target, target);
      assert.equal((await admin.get(deployments, slm)).metadata.generation, before.metadata.generation);
      const names = (await admin.list(deployments, { namespace })).items.map(({ metadata }) => metadata.name);
      assert.deepEqual(names.sort(), [`${name}-${target}-llm`, `${name}-${target}-slm`]);
    });

    it('says that it routes without a network until there is one', async () => {
      await admin.create(r2rRouters, router());
      await admin.create(r2rDeployments, following());
      const target = await revision();
      const map = { namespace, name: `${name}-${target}-router` };
      const config = await until('the configuration', 30_000, async () => (await admin.find(configMaps, map))?.data?.['router.json']);
      const none = { slm: 0, llm: 0, fallback: 0 };
      routerAnswer = {
        configDigest: createHash('sha256').update(config).digest('hex'),
        strategy: 'entropy',
        alarms: [],
        waitingFor: [],
        inFlight: 0,
        tokensTotal: none,
        window: { seconds: 60, tokens: none, tokensPerSecond: 0, requests: { total: 20, failed: 0 } },
        parameters: {},
        llmEndpoints: [],
      };
      const pod = await makePod();
      await until('the condition', 20_000, async () => (await told('RouterReady')) === 'True NoBundleYet');
      const message = findCondition((await read()).status?.conditions, 'RouterReady')?.message ?? '';
      assert.match(message, /; R2RRouter math offers no bundle yet; tokens are routed by entropy until then$/);
      routerAnswer = { ...routerAnswer, window: { ...routerAnswer.window, requests: { total: 20, failed: 7 } } };
      await until('the failures', 30_000, async () => (await told('RouterReady')) === 'False RouterErrors');
      const recorded = async (reason: string): Promise<string | undefined> =>
        (await admin.list(events, { namespace })).items.find((event) => event.reason === reason)?.type;
      await until(
        'both events',
        20_000,
        async () => (await recorded('NoBundleYet')) === 'Normal' && (await recorded('RouterErrors')) === 'Warning',
      );
      await admin.delete(pods, pod, { gracePeriodSeconds: 0 });
    });

    it('keeps its pods when the R2RRouter is deleted', async () => {
      await admin.create(r2rRouters, router());
      await assign('aa');
      await admin.create(r2rDeployments, following());
      const target = await revision();
      await loads('pvc://math-workspace/store/bundles/aa');
      await until('both Deployments', 20_000, async () => (await admin.list(deployments, { namespace })).items.length === 2);
      await admin.delete(r2rRouters, { namespace, name: 'math' });
      await until('Stalled', 20_000, async () => (await told('Stalled')) === 'True RouterNotFound');
      assert.equal((await read()).status?.revision?.target, target);
      assert.equal((await admin.list(deployments, { namespace })).items.length, 2);
      assert.equal((await configured()).checkpoint?.uri, 'pvc://math-workspace/store/bundles/aa');
    });

    it('reaches an object store by flags and Secrets, in the same revision whatever the store is', async () => {
      const s3 = { bucket: 'models', prefix: 'math', endpoint: 'https://minio:9000', credentialsSecretName: 'keys' };
      await admin.create(r2rRouters, router({ storage: { bundles: { s3 } } }));
      await admin.create(r2rDeployments, following());
      const target = await revision();
      const slm = { namespace, name: `${name}-${target}-slm` };
      const args = async (): Promise<string> => {
        const found = await admin.find(deployments, slm);
        return found?.spec?.template.spec?.containers.find((each) => each.name === 'router')?.args?.join(' ') ?? '';
      };
      await until('the flags', 30_000, async () =>
        (await args()).includes('--s3-endpoint https://minio:9000 --s3-credentials /etc/r2r/s3'),
      );
      await assign('bb', 's3://models/math');
      await loads('s3://models/math/bundles/bb');
      await admin.patch(r2rRouters, { namespace, name: 'math' }, { spec: { storage: { bundles: { s3: { region: 'eu-west-1' } } } } });
      await until('the other region', 20_000, async () => (await args()).includes('--s3-region eu-west-1'));
      assert.equal((await read()).status?.revision?.target, target);
    });
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
