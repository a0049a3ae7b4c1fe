/** Models on a hub, by the controller against a real API server. There is no kubelet: a test plays the part of the Job controller and of its pods. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { findCondition } from '../../../src/api/conditions.ts';
import type { ConditionType } from '../../../src/api/conditions.ts';
import { customResourceDefinition } from '../../../src/api/crd.ts';
import { modelLabelKeys } from '../../../src/api/model-job-names.ts';
import { apiVersion, kind } from '../../../src/api/r2rdeployment.ts';
import type { R2RDeployment, R2RDeploymentSpecInput } from '../../../src/api/r2rdeployment.ts';
import { routerCustomResourceDefinition } from '../../../src/api/r2rrouter-crd.ts';
import { addR2RDeploymentController } from '../../../src/controllers/r2rdeployment-controller.ts';
import { r2rDeployments, r2rRouters } from '../../../src/controllers/resource-types.ts';
import type { RouterClient } from '../../../src/controllers/router-client.ts';
import { progressClient } from '../../../src/controllers/router/index.ts';
import {
  EventRecorder,
  KubeClient,
  KubeMetrics,
  Manager,
  customResourceDefinitions,
  deployments,
  events,
  jobs as jobType,
  namespaces,
  networkPolicies,
  persistentVolumeClaims,
  pods,
  services,
  silentLogger,
} from '../../../src/kube/index.ts';
import type { Live, ResourceType } from '../../../src/kube/index.ts';
import type { Job } from '../../../src/kube/resources.ts';
import { controlPlane } from '../../cluster/control-plane.ts';
import { until } from '../../cluster/progress.ts';

const name = 'qwen';
const slm = 'hf://Qwen/Qwen3-0.6B@main';
const llm = 'hf://Qwen/Qwen3-8B@main';
const commit = 'cd'.repeat(20);
const spec: R2RDeploymentSpecInput = { slm: { model: slm, engine: 'CPU' }, llm: { model: llm, engine: 'CPU' }, modelCache: {} };
const routers: RouterClient = {
  status: () => Promise.resolve(undefined),
  probe: () => Promise.resolve('no router'),
  close: () => Promise.resolve(),
};

describe('models on a hub, by the controller on a real API server', function () {
  this.timeout(180_000);
  const stop = new AbortController();
  let admin: KubeClient;
  let operator: KubeClient;
  let registry: Registry;
  let running: Promise<void>;
  let namespace: string;
  let pod: Server;
  let report: object = {};

  before(async () => {
    const plane = await controlPlane();
    admin = KubeClient.fromConfig(plane.kubeConfig(), { fieldManager: 'a-person' });
    for (const crd of [customResourceDefinition(), routerCustomResourceDefinition()]) await admin.apply(customResourceDefinitions, crd);
    for (const type of [r2rDeployments, r2rRouters] as readonly ResourceType[])
      await until('the CRD is served', 30_000, async () => {
        // other test files may have left resources behind
        for (const { metadata } of (await admin.list(type)).items) await admin.delete(type, metadata);
        return true;
      });
    pod = createServer((_, response) => response.end(JSON.stringify(report))).listen(0, '127.0.0.1');
    await once(pod, 'listening');
    const address = pod.address();
    assert.ok(typeof address === 'object' && address);
    registry = new Registry();
    const metrics = new KubeMetrics(registry);
    operator = KubeClient.fromConfig(plane.kubeConfig(), { fieldManager: 'r2r-operator', metrics });
    const manager = new Manager({ client: operator, metrics });
    addR2RDeploymentController(manager, {
      client: operator,
      recorder: new EventRecorder(admin, { controller: 'r2r.dev/operator', instance: 'test' }),
      routers,
      progress: progressClient(2_000, address.port),
      render: { routerImage: 'registry.example/router:1', operatorNamespace: 'r2r-system' },
      logger: silentLogger,
      metrics,
      registry,
      concurrency: 2,
    });
    running = manager.run(stop.signal);
  });

  beforeEach(async () => {
    report = {};
    namespace = `models-${randomBytes(4).toString('hex')}`;
    await admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  });

  after(async () => {
    stop.abort();
    await running;
    pod.close();
    await Promise.all([admin.close(), operator.close()]);
  });

  const create = (input: R2RDeploymentSpecInput = spec): Promise<Live<R2RDeployment>> =>
    admin.create(r2rDeployments, { apiVersion, kind, metadata: { name, namespace }, spec: input });
  const read = (): Promise<Live<R2RDeployment>> => admin.get(r2rDeployments, { namespace, name });
  const change = (patch: object): Promise<unknown> => admin.patch(r2rDeployments, { namespace, name }, { spec: patch });
  const told = async (type: ConditionType): Promise<string> => {
    const condition = findCondition((await read()).status?.conditions, type);
    return `${condition?.status} ${condition?.reason}`;
  };
  const message = async (type: ConditionType): Promise<string> => findCondition((await read()).status?.conditions, type)?.message ?? '';
  const modelOf = async (address: string) => (await read()).status?.modelCache?.models.find((each) => each.model === address);
  const allJobs = async (): Promise<readonly Live<Job>[]> =>
    (await admin.list(jobType, { namespace, labelSelector: modelLabelKeys.model })).items;
  const argsOf = ({ spec: of }: Live<Job>): string => of?.template.spec?.containers[0]?.args?.join(' ') ?? '';
  const jobOf = (address: string): Promise<Live<Job>> =>
    until(`the Job of ${address}`, 20_000, async () =>
      (await allJobs()).find((job) => argsOf(job).includes(address) && !job.metadata.deletionTimestamp),
    );
  const llmDeployments = async (): Promise<number> => (await admin.list(deployments, { namespace })).items.length;

  /** A pod of a Job, in the state that a kubelet would report. */
  async function podOf(job: Live<Job>, status: object): Promise<void> {
    const podName = `${job.metadata.name}-${randomBytes(3).toString('hex')}`;
    await admin.create(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: podName,
        namespace,
        labels: job.spec!.template.metadata?.labels,
        ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name: job.metadata.name, uid: job.metadata.uid, controller: true }],
      },
      spec: {
        restartPolicy: 'Never',
        automountServiceAccountToken: false,
        nodeSelector: { 'r2r.dev/none': 'here' },
        containers: [{ name: 'download', image: 'i' }],
      },
    });
    await admin.patch(pods, { namespace, name: podName }, { status }, { subresource: 'status' });
  }

  const container = (state: object): object => ({ name: 'download', image: 'i', imageID: 'i', ready: false, restartCount: 0, state });
  const ended = (phase: string, words: object, exitCode: number): object => ({
    phase,
    containerStatuses: [
      container({
        terminated: {
          exitCode,
          message: JSON.stringify(words),
          startedAt: '2026-01-01T00:00:00Z',
          finishedAt: '2026-01-01T00:01:00Z',
          containerID: 'c://1',
        },
      }),
    ],
  });

  async function end(job: Live<Job>, conditions: readonly string[], counts: object, reason: string): Promise<void> {
    const at = new Date().toISOString().replace(/\.\d+Z$/, 'Z');
    const status = {
      startTime: '2026-01-01T00:00:00Z',
      ...(conditions.includes('Complete') && { completionTime: at }),
      conditions: conditions.map((type) => ({ type, status: 'True', reason, message: '', lastTransitionTime: at, lastProbeTime: at })),
      ...counts,
    };
    await admin.patch(jobType, { namespace, name: job.metadata.name }, { status }, { subresource: 'status' });
  }

  async function complete(address: string): Promise<void> {
    const job = await jobOf(address);
    const words = { ok: true, step: 'download', hash: address, sealed: true, digest: commit, counts: { files: 9, bytes: 1_500_000_000 } };
    await podOf(job, ended('Succeeded', words, 0));
    await end(job, ['SuccessCriteriaMet', 'Complete'], { succeeded: 1, uncountedTerminatedPods: {} }, 'CompletionsReached');
    await until(`${address} is there`, 20_000, async () => (await modelOf(address))?.state === 'Ready');
  }

  async function fail(address: string, words: object, exitCode: number): Promise<void> {
    const job = await jobOf(address);
    await podOf(job, ended('Failed', { ok: false, step: '', hash: '', shard: 0, fix: 'mend it', ...words }, exitCode));
    const reason = exitCode === 3 ? 'PodFailurePolicy' : 'BackoffLimitExceeded';
    await end(job, ['FailureTarget', 'Failed'], { failed: 1, uncountedTerminatedPods: {} }, reason);
  }

  /** What the garbage collector does with Jobs that are deleted in the foreground. */
  async function collect(): Promise<void> {
    await until('a Job is being removed', 20_000, async () => {
      const doomed = (await allJobs()).filter(({ metadata }) => metadata.deletionTimestamp);
      for (const { metadata } of doomed) {
        for (const each of (await admin.list(pods, { namespace })).items)
          if (each.metadata.ownerReferences?.[0]?.uid === metadata.uid) await admin.delete(pods, each.metadata, { gracePeriodSeconds: 0 });
        await admin.patch(jobType, metadata, { metadata: { finalizers: null } });
      }
      return doomed.length > 0;
    });
  }

  it('makes a claim, a policy and a Job for each, tells how far they are, and makes pods when all are there', async () => {
    const { metadata } = await create();
    const job = await jobOf(llm);
    assert.equal(job.metadata.ownerReferences?.[0]?.uid, metadata.uid);
    await jobOf(slm);
    const claim = await admin.get(persistentVolumeClaims, { namespace, name: `${name}-models` });
    assert.equal(claim.metadata.ownerReferences, undefined, 'it stays');
    assert.ok(await admin.find(networkPolicies, { namespace, name: `${name}-models` }));
    await until('the reason', 20_000, async () => (await told('LLMReady')) === 'False ModelDownloading');
    assert.deepEqual(
      [await told('SLMReady'), await told('ModelsReady'), await told('Reconciling'), await told('Stalled')],
      ['False ModelDownloading', 'False ModelDownloading', 'True Updating', 'False NoProblem'],
    );
    assert.equal(await llmDeployments(), 0);

    report = { hash: llm, unit: 'bytes', done: 6_888_000_000, total: 16_400_000_000, perSecond: 220_000_000, etaSeconds: 43 };
    await podOf(job, {
      phase: 'Running',
      podIP: '127.0.0.1',
      containerStatuses: [container({ running: { startedAt: '2026-01-01T00:00:00Z' } })],
    });
    await until('speed and estimate', 20_000, async () => (await modelOf(llm))?.bytesPerSecond === 220_000_000);
    assert.match(
      await message('LLMReady'),
      /^0 of 1 replicas are ready; hf:\/\/Qwen\/Qwen3-8B@main is being downloaded: 42% of 15\.3 GiB, 209\.8 MiB\/s, 43 s left$/,
    );
    assert.match(await message('Ready'), /LLMReady: .*42% of 15\.3 GiB/);
    assert.equal((await modelOf(llm))?.etaSeconds, 43);

    await complete(slm);
    assert.equal(await llmDeployments(), 0, 'both models are needed');
    assert.match(await message('ModelsReady'), /^1 of 2 models are there; /);
    await complete(llm);
    await until('both Deployments', 20_000, async () => (await llmDeployments()) === 2);
    await until('the condition', 20_000, async () => (await told('ModelsReady')) === 'True Downloaded');
    assert.match(await message('ModelsReady'), /^on claim qwen-models: hf:\/\/Qwen\/Qwen3-0\.6B@main \(commit cdcdcdcd, 1\.4 GiB\), /);
    const found = await modelOf(llm);
    assert.deepEqual([found?.commit, found?.bytes, found?.totalBytes], [commit, 1_500_000_000, 1_500_000_000]);
    assert.equal(await told('LLMReady'), 'False PodsNotReady');
    const [child] = (await admin.list(deployments, { namespace })).items;
    const volume = child?.spec?.template.spec?.volumes?.find(({ persistentVolumeClaim }) => persistentVolumeClaim);
    assert.deepEqual(volume?.persistentVolumeClaim, { claimName: `${name}-models`, readOnly: true });
    const recorded = async (reason: string): Promise<boolean> =>
      (await admin.list(events, { namespace })).items.some((event) => event.reason === reason);
    await until('the events', 20_000, async () => (await recorded('ModelDownloading')) && (await recorded('Downloaded')));
  });

  it('sends no write while nothing changes, with models that are there', async () => {
    await create();
    await complete(slm);
    await complete(llm);
    const isWrite = /^kube_client_requests_total\{.*verb="(apply|apply_status|patch|create|delete|replace)/i;
    const writes = async (): Promise<string> =>
      (await registry.metrics())
        .split('\n')
        .filter((line) => isWrite.test(line))
        .sort()
        .join('\n');
    let before = '';
    let quiet = 0;
    await until('the writes are over', 60_000, async () => {
      const now = await writes();
      quiet = now === before ? quiet + 1 : 0;
      before = now;
      await sleep(1_000);
      return quiet >= 4;
    });
    await admin.patch(r2rDeployments, { namespace, name }, { metadata: { labels: { looked: 'again' } } });
    await sleep(4_000);
    assert.equal(await writes(), before);
  });

  it('remembers models whose Jobs have gone', async () => {
    await create();
    await complete(slm);
    await complete(llm);
    for (const { metadata } of await allJobs()) await admin.delete(jobType, metadata, { propagation: 'Background' });
    await until('no Job', 20_000, async () => (await allJobs()).length === 0);
    await change({ networkPolicy: { enabled: false } });
    await until('no policy', 20_000, async () => !(await admin.find(networkPolicies, { namespace, name: `${name}-models` })));
    await admin.patch(r2rDeployments, { namespace, name }, { metadata: { labels: { looked: 'again' } } });
    await sleep(3_000);
    assert.equal((await allJobs()).length, 0);
    assert.equal(await told('ModelsReady'), 'True Downloaded');
  });

  it('leaves the revision that serves alone while another model comes, or does not', async () => {
    await create();
    await complete(slm);
    await complete(llm);
    const serving = await until('a serving revision', 20_000, async () => (await read()).status?.revision?.serving);
    await until('both Deployments', 20_000, async () => (await llmDeployments()) === 2);
    const other = 'hf://meta/Gated-8B@main';
    await change({ llm: { model: other } });
    const words = {
      code: 'FETCH_DENIED',
      message: `hf://meta/Gated-8B/config.json@ab: the repository is gated; give a token (spec.modelCache.tokenSecretRef)`,
      retryable: false,
    };
    await fail(other, words, 3);
    await until('the reason', 20_000, async () => (await told('Stalled')) === 'True ModelAccessDenied');
    assert.match(await message('Ready'), /the repository is gated; .*tokenSecretRef.*; revision [0-9a-f]{8} goes on answering$/);
    const { status } = await read();
    assert.equal(status?.revision?.serving, serving);
    assert.notEqual(status.revision.target, serving);
    assert.equal((await admin.get(services, { namespace, name })).spec?.selector?.['r2r.dev/revision'], serving);
    assert.equal(await llmDeployments(), 2, 'those of the revision before, and no others');
    // the serving revision is still looked after
    const [child] = (await admin.list(deployments, { namespace })).items;
    await admin.delete(deployments, child!.metadata);
    await until('it is made again', 20_000, async () => (await llmDeployments()) === 2);

    // the token comes with a new generation: at once, and with other inputs
    await change({ modelCache: { tokenSecretRef: { name: 'hub', key: 'token' } } });
    await collect();
    const job = await jobOf(other);
    assert.match(argsOf(job), /--hf-token-file \/etc\/r2r\/hub-token\/token/);
    assert.doesNotMatch(JSON.stringify(await read()), /secret-value/);
    await complete(other);
    await until('the new Deployments', 20_000, async () => (await llmDeployments()) === 4);
  });

  const failures: readonly (readonly [string, string, boolean, string])[] = [
    ['a revision that is not there', 'FETCH_NOT_FOUND', false, 'ModelNotFound'],
    ['a checksum that is wrong twice', 'FETCH_DIGEST_MISMATCH', false, 'ModelChecksumMismatch'],
    ['a full volume', 'FETCH_NO_SPACE', true, 'ModelCacheFull'],
    ['a hub that is away', 'FETCH_UNAVAILABLE', true, 'HubUnavailable'],
  ];
  for (const [what, code, retryable, reason] of failures)
    it(`has a reason of its own for ${what}${retryable ? ', and goes on trying' : ''}`, async () => {
      await create();
      await fail(llm, { code, message: `hf://Qwen/Qwen3-8B@main: ${code}`, retryable }, retryable ? 1 : 3);
      await until('the reason', 20_000, async () => (await told('ModelsReady')) === `False ${reason}`);
      assert.equal(await told('Ready'), `False ${reason}`);
      assert.equal(await told('Stalled'), retryable ? 'False NoProblem' : `True ${reason}`);
      const failure = (await modelOf(llm))?.failure;
      assert.deepEqual([failure?.code, failure?.retryable], [code, retryable]);
      // raising the size is what helps against a full volume; any change of the spec has it tried at once
      await change({ modelCache: { size: '400Gi' } });
      await collect();
      await jobOf(llm);
      await until('another attempt', 20_000, async () => (await modelOf(llm))?.attempts === 2);
    });

  it("uses a claim of the user's as it is, and says where models are", async () => {
    await create({ ...spec, modelCache: { claim: 'weights' }, llm: { model: '/opt/llm', engine: 'CPU' } });
    await complete(slm);
    assert.equal((await admin.list(persistentVolumeClaims, { namespace })).items.length, 0);
    assert.match((await modelOf(slm))?.address ?? '', /^pvc:\/\/weights\/hub\/Qwen--Qwen3-0\.6B--[0-9a-f]{16}$/);
    assert.equal((await allJobs()).length, 1);
  });

  it('gives a claim away with the deployment where it is told to, and takes downloads that nobody wants any more away', async () => {
    const { metadata } = await create({ ...spec, modelCache: { onDelete: 'Delete' } });
    await jobOf(slm);
    const claim = await admin.get(persistentVolumeClaims, { namespace, name: `${name}-models` });
    assert.equal(claim.metadata.ownerReferences?.[0]?.uid, metadata.uid);
    await change({ llm: { model: '/opt/llm' }, slm: { model: '/opt/slm' }, modelCache: null });
    while ((await allJobs()).length > 0) await collect();
    await until('Deployments', 20_000, async () => (await llmDeployments()) === 2);
    const { status } = await read();
    assert.equal(status?.modelCache, undefined);
    assert.equal(findCondition(status?.conditions, 'ModelsReady'), undefined);
  });

  it('never takes over a claim that is not its own, and says how to use it', async () => {
    const foreign = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };
    const metadata = { name: `${name}-models`, namespace };
    await admin.create(persistentVolumeClaims, { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata, spec: foreign });
    await create();
    await until('Stalled', 20_000, async () => (await told('Stalled')) === 'True NameTaken');
    assert.match(
      await message('Stalled'),
      /qwen-models exists and is not managed by this R2RDeployment; name it in modelCache\.claim to use it/,
    );
    assert.equal((await allJobs()).length, 0);
  });

  it('downloads again when the claim that was made has been deleted, though a Job said that it is there', async () => {
    await create();
    await complete(slm);
    await complete(llm);
    const claim = { namespace, name: `${name}-models` };
    await admin.delete(persistentVolumeClaims, claim);
    // what protects a claim in use is not at work here
    await admin.patch(persistentVolumeClaims, claim, { metadata: { finalizers: null } }).catch(() => undefined);
    await admin.patch(r2rDeployments, { namespace, name }, { metadata: { labels: { looked: 'again' } } });
    await until('both are to be downloaded', 30_000, async () => (await told('ModelsReady')) === 'False ModelDownloading');
    while ((await allJobs()).some(({ metadata }) => metadata.deletionTimestamp)) await collect();
    await jobOf(slm);
    assert.equal(await llmDeployments(), 2, 'pods stay');
    await complete(slm);
    await complete(llm);
    await until('they are there', 20_000, async () => (await told('ModelsReady')) === 'True Downloaded');
  });

  it('ends no download that runs for an overlay that it cannot merge', async () => {
    await create();
    const job = await jobOf(llm);
    await change({ modelCache: { podTemplate: { spec: { restartPolicy: 'Always' } } } });
    await until('Stalled', 20_000, async () => (await told('Stalled')) === 'True SpecInvalid');
    assert.equal((await jobOf(llm)).metadata.uid, job.metadata.uid);
  });

  it('names the field of an overlay that it cannot merge', async () => {
    await create({ ...spec, modelCache: { podTemplate: { spec: { restartPolicy: 'Always' } } } });
    await until('Stalled', 20_000, async () => (await told('Stalled')) === 'True SpecInvalid');
    assert.match(await message('Stalled'), /^spec\.modelCache\.podTemplate\.spec\.restartPolicy: must be Never/);
  });
});
