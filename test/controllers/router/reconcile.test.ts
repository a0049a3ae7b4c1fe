/** The controller of R2RRouters against a real API server. There is no kubelet here: a test plays the part of the Job controller and of the pods. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { customResourceDefinition } from '../../../src/api/crd.ts';
import { apiVersion } from '../../../src/api/r2rdeployment.ts';
import { routerCustomResourceDefinition } from '../../../src/api/r2rrouter-crd.ts';
import type { JobName } from '../../../src/api/r2rrouter-jobs.ts';
import { routerLabelKeys } from '../../../src/api/r2rrouter-names.ts';
import { routerKind } from '../../../src/api/r2rrouter.ts';
import type { R2RRouter, R2RRouterSpecInput } from '../../../src/api/r2rrouter.ts';
import { makeCaches } from '../../../src/controllers/caches.ts';
import { r2rDeployments, r2rRouters } from '../../../src/controllers/resource-types.ts';
import { addR2RRouterController, progressClient } from '../../../src/controllers/router/index.ts';
import {
  EventRecorder,
  KubeClient,
  KubeMetrics,
  Manager,
  configMaps,
  customResourceDefinitions,
  jobs as jobType,
  namespaces,
  networkPolicies,
  persistentVolumeClaims,
  pods,
  silentLogger,
} from '../../../src/kube/index.ts';
import type { Live, ResourceType } from '../../../src/kube/index.ts';
import type { Job } from '../../../src/kube/resources.ts';
import { controlPlane } from '../../cluster/control-plane.ts';
import { until } from '../../cluster/progress.ts';

const name = 'tiny';
const spec: R2RRouterSpecInput = { preset: 'tiny', source: { pipeline: { datasets: [{ preset: 'aime' }] } } };
const steps = ['convert', 'respond', 'prefill', 'continue', 'verify', 'construct', 'train', 'bundle'] as const;

describe('the R2RRouter controller on a real API server', function () {
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
    addR2RRouterController(manager, {
      client: operator,
      caches: makeCaches(manager),
      recorder: new EventRecorder(admin, { controller: 'r2r.dev/operator', instance: 'test' }),
      progress: progressClient(2_000, address.port),
      render: { routerImage: 'registry.example/router:1', trainerImage: 'registry.example/trainer:1', operatorNamespace: 'r2r-system' },
      logger: silentLogger,
      metrics,
      registry,
      concurrency: 2,
    });
    running = manager.run(stop.signal);
  });

  beforeEach(async () => {
    namespace = `routers-${randomBytes(4).toString('hex')}`;
    await admin.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  });

  after(async () => {
    stop.abort();
    await running;
    pod.close();
    await Promise.all([admin.close(), operator.close()]);
  });

  const create = (input: R2RRouterSpecInput = spec, as = name): Promise<Live<R2RRouter>> =>
    admin.create(r2rRouters, { apiVersion, kind: routerKind, metadata: { name: as, namespace }, spec: input });
  const read = (): Promise<Live<R2RRouter>> => admin.get(r2rRouters, { namespace, name });
  const change = (patch: object): Promise<Live<R2RRouter>> => admin.patch(r2rRouters, { namespace, name }, { spec: patch });
  const told = async (type: string): Promise<string> => {
    const found = (await read()).status?.conditions?.find((each) => each.type === type);
    return `${found?.status} ${found?.reason}`;
  };
  const state = async (step: JobName): Promise<string | undefined> =>
    (await read()).status?.steps?.find((each) => each.name === step)?.state;
  const jobsOf = async (step: JobName): Promise<readonly Live<Job>[]> =>
    (await admin.list(jobType, { namespace, labelSelector: `${routerLabelKeys.step}=${step}` })).items;
  const jobOf = (step: JobName): Promise<Live<Job>> =>
    until(`the Job of ${step}`, 15_000, async () =>
      (await jobsOf(step)).find(
        ({ metadata, status }) => !metadata.deletionTimestamp && !status?.conditions?.some(({ type }) => type === 'Complete'),
      ),
    );

  /** The newest, whatever became of it. */
  const jobOfAll = async (step: JobName): Promise<Live<Job>> =>
    (await jobsOf(step))
      .toSorted((a, b) => Number(a.metadata.annotations?.['r2r.dev/generation']) - Number(b.metadata.annotations?.['r2r.dev/generation']))
      .at(-1)!;

  /** A pod of a Job, in the state that a kubelet would report. */
  async function podOf(job: Live<Job>, status: object): Promise<void> {
    const { template } = job.spec!;
    const podName = `${job.metadata.name}-${randomBytes(3).toString('hex')}`;
    await admin.create(pods, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: podName,
        namespace,
        labels: template.metadata?.labels,
        ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name: job.metadata.name, uid: job.metadata.uid, controller: true }],
      },
      spec: {
        restartPolicy: 'Never',
        automountServiceAccountToken: false,
        nodeSelector: { 'r2r.dev/none': 'here' },
        containers: [{ name: 'step', image: 'i' }],
      },
    });
    await admin.patch(pods, { namespace, name: podName }, { status }, { subresource: 'status' });
  }

  const ended = (phase: string, message: string, exitCode: number) => ({
    phase,
    containerStatuses: [
      {
        name: 'step',
        image: 'i',
        imageID: 'i',
        ready: false,
        restartCount: 0,
        state: {
          terminated: { exitCode, message, startedAt: '2026-01-01T00:00:00Z', finishedAt: '2026-01-01T00:01:00Z', containerID: 'c://1' },
        },
      },
    ],
  });

  async function end(job: Live<Job>, conditions: readonly string[], counts: object, reason = 'Done'): Promise<void> {
    const at = '2026-01-01T00:01:00Z';
    const status = {
      startTime: '2026-01-01T00:00:00Z',
      ...(conditions.includes('Complete') && { completionTime: at }),
      conditions: conditions.map((type) => ({ type, status: 'True', reason, message: '', lastTransitionTime: at, lastProbeTime: at })),
      ...counts,
    };
    await admin.patch(jobType, { namespace, name: job.metadata.name }, { status }, { subresource: 'status' });
  }

  const digestOf = (hash: string): string => hash.repeat(4).slice(0, 64);

  async function complete(step: JobName, more: object = {}): Promise<void> {
    const job = await jobOf(step);
    const hash = job.metadata.labels?.[routerLabelKeys.hash] ?? '';
    const digest = digestOf(hash);
    const bundle = {
      digest,
      uri: `pvc://${name}-workspace/store/bundles/${digest}`,
      threshold: 0.4,
      recall: 0.96,
      positiveRate: 0.11,
      rows: 900,
      ...more,
    };
    const words = { ok: true, step, hash, sealed: true, digest, counts: { questions: 3 }, ...(step === 'bundle' && { bundle }) };
    await podOf(job, ended('Succeeded', JSON.stringify(words), 0));
    await end(job, ['SuccessCriteriaMet', 'Complete'], { succeeded: 1, uncountedTerminatedPods: {} }, 'CompletionsReached');
    await until(`${step} is done`, 15_000, async () => (await state(step)) === 'Done');
  }

  async function fail(step: JobName, words: object, exitCode: number): Promise<void> {
    const job = await jobOf(step);
    await podOf(job, ended('Failed', JSON.stringify({ ok: false, step, hash: '', shard: 0, fix: 'mend it', ...words }), exitCode));
    await end(
      job,
      ['FailureTarget', 'Failed'],
      { failed: 1, uncountedTerminatedPods: {} },
      exitCode === 3 ? 'PodFailurePolicy' : 'BackoffLimitExceeded',
    );
  }

  /** What the garbage collector does with a Job that is deleted in the foreground. */
  async function collect(step: JobName): Promise<void> {
    await until(`the Job of ${step} is being removed`, 15_000, async () => {
      const doomed = (await jobsOf(step)).filter(({ metadata }) => metadata.deletionTimestamp);
      for (const { metadata } of doomed) {
        const labelSelector = `${routerLabelKeys.step}=${step}`;
        for (const each of (await admin.list(pods, { namespace, labelSelector })).items)
          await admin.delete(pods, each.metadata, { gracePeriodSeconds: 0 });
        await admin.patch(jobType, metadata, { metadata: { finalizers: null } });
      }
      return doomed.length > 0;
    });
  }

  it('makes what the Jobs need, then one Job after the other, and offers the bundle', async () => {
    const { metadata } = await create();
    const job = await jobOf('convert');
    assert.equal(job.metadata.ownerReferences?.[0]?.uid, metadata.uid);
    const claim = await admin.get(persistentVolumeClaims, { namespace, name: `${name}-workspace` });
    assert.equal(claim.metadata.ownerReferences, undefined);
    assert.ok(await admin.find(networkPolicies, { namespace, name: `${name}-jobs` }));
    assert.ok(await admin.find(configMaps, { namespace, name: job.metadata.name }));
    assert.equal(await told('Reconciling'), 'True Running');
    for (const step of steps) await complete(step);
    await until('it is ready', 10_000, async () => (await told('Ready')) === 'True Done');
    const { status } = await read();
    assert.equal(status?.phase, 'Ready');
    assert.equal(status.history?.[0]?.gate, 'Passed');
    assert.equal(status.bundle?.digest, status.history[0].digest);
    assert.deepEqual([status.summary?.recall, status.summary?.positiveRate], ['96.0%', '11.0%']);
    assert.equal(status.observedGeneration, 1);
    assert.equal(await told('RolledOut'), 'True NoFollowers');
    assert.match(await registry.metrics(), /^r2r_operator_routers\{phase="Ready"\} 1$/m);
  });

  it('runs again what has changed, with all that depends on it, and takes away what nobody wants any more', async () => {
    await create();
    await complete('convert');
    await complete('respond');
    const before = await jobOf('prefill');
    await change({ source: { pipeline: { respond: { maxNewTokens: 100 } } } });
    await collect('prefill');
    assert.equal((await jobsOf('convert')).length, 1);
    assert.equal((await jobsOf('respond')).length, 2);
    const respond = (await jobsOf('respond')).find(({ metadata }) => metadata.annotations?.['r2r.dev/generation'] === '2');
    assert.ok(respond);
    await complete('respond');
    await jobOf('prefill');
    await until(
      'the ConfigMap of the old step is gone',
      10_000,
      async () => !(await admin.find(configMaps, { namespace, name: before.metadata.name })),
    );
  });

  it('says why a step fails and waits for a person, and goes on when the spec changes', async () => {
    await create();
    await fail(
      'convert',
      { code: 'PIPELINE_COLUMN', field: 'question', message: 'convert: there is no column "question"; name one', retryable: false },
      3,
    );
    await until('it is stalled', 15_000, async () => (await told('Stalled')) === 'True PipelineColumn');
    const { status } = await read();
    assert.equal(status?.phase, 'Failed');
    const failure = status.steps?.[0]?.failure;
    assert.deepEqual([failure?.code, failure?.field, failure?.retryable], ['PIPELINE_COLUMN', 'question', false]);
    const event = await until('an event', 10_000, async () => {
      const found = await admin.raw({ path: `/apis/events.k8s.io/v1/namespaces/${namespace}/events` });
      return /PIPELINE_COLUMN/.test(found) && found;
    });
    assert.match(event, /StepFailed/);
    await change({ jobs: { backoffLimit: 1 } });
    await collect('convert');
    const again = await jobOf('convert');
    assert.equal(again.metadata.annotations?.['r2r.dev/generation'], '2');
    await until('it is not stalled', 10_000, async () => (await told('Stalled')) === 'False NoProblem');
  });

  it('takes its Jobs away while it is suspended, and goes on', async () => {
    await create();
    await complete('convert');
    await jobOf('respond');
    await change({ jobs: { suspend: true } });
    await collect('respond');
    await until('it is suspended', 10_000, async () => (await read()).status?.phase === 'Suspended');
    await sleep(500);
    assert.equal((await jobsOf('respond')).length, 0);
    await change({ jobs: { suspend: false } });
    await jobOf('respond');
    assert.equal((await jobsOf('convert')).length, 1);
  });

  it('shows how far a step is, as its pods say', async () => {
    report = {
      hash: 'h',
      unit: 'questions',
      done: 3,
      total: 8,
      perSecond: 0.512,
      etaSeconds: 10.2,
      tokensPerSecond: 1234,
      engineUtilisation: 0.957,
    };
    await create();
    const job = await jobOf('convert');
    const step = {
      name: 'step',
      image: 'i',
      imageID: 'i',
      ready: true,
      restartCount: 0,
      state: { running: { startedAt: '2026-01-01T00:00:00Z' } },
    };
    await podOf(job, { phase: 'Running', podIP: '127.0.0.1', podIPs: [{ ip: '127.0.0.1' }], containerStatuses: [step] });
    await until('progress', 15_000, async () => (await read()).status?.summary?.progress === '37%');
    const { status } = await read();
    assert.equal(status?.summary?.step, 'convert');
    assert.deepEqual(status.steps?.[0]?.progress, {
      unit: 'questions',
      done: 3,
      total: 8,
      perSecond: 0.51,
      etaSeconds: 10,
      tokensPerSecond: 1200,
      engineUtilisation: 0.96,
    });
    report = { ...report, done: 6 };
    await until('progress goes on', 15_000, async () => (await read()).status?.summary?.progress === '75%');
  });

  it('sends no write for a router of which nothing changes', async () => {
    await create();
    await jobOf('convert');
    const writes = async (): Promise<string> =>
      (await registry.metrics())
        .split('\n')
        .filter((line) => /^kube_client_requests_total\{.*verb="(apply|apply_status|patch|create|delete|replace)/i.test(line))
        .sort()
        .join('\n');
    await sleep(2_000);
    const before = await writes();
    await admin.patch(r2rRouters, { namespace, name }, { metadata: { labels: { looked: 'again' } } });
    await sleep(3_000);
    assert.equal(await writes(), before);
  });

  it('uses no claim that is not its own, says so, and goes on once it is named', async () => {
    const foreign = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: `${name}-workspace`, namespace },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    };
    await admin.create(persistentVolumeClaims, foreign);
    await create();
    await until('it is stalled', 15_000, async () => (await told('Stalled')) === 'True NameTaken');
    assert.equal((await jobsOf('convert')).length, 0);
    await change({ storage: { workspace: { claim: `${name}-workspace` } } });
    await jobOf('convert');
    await until('it is not stalled', 10_000, async () => (await told('Stalled')) === 'False NoProblem');
  });

  it('ties the claim to the router, or frees it, as the spec says', async () => {
    await create({ ...spec, storage: { workspace: { onDelete: 'Delete' } } });
    await jobOf('convert');
    const owners = async () => (await admin.get(persistentVolumeClaims, { namespace, name: `${name}-workspace` })).metadata.ownerReferences;
    assert.equal((await owners())?.[0]?.name, name);
    await change({ storage: { workspace: { onDelete: 'Retain' } } });
    await until('it has no owner', 10_000, async () => (await owners()) === undefined);
  });

  it('names the field of an overlay that cannot be merged, and makes nothing', async () => {
    const overlay = { spec: { containers: [{ name: 'step', $patch: 'delete' }] } };
    await create({ ...spec, jobs: { steps: { convert: { podTemplate: overlay } } } });
    await until('it is stalled', 15_000, async () => (await told('Stalled')) === 'True SpecInvalid');
    const message = (await read()).status?.conditions?.find(({ type }) => type === 'Stalled')?.message ?? '';
    assert.match(message, /^spec\.jobs\.steps\.convert\.podTemplate\.spec\.containers: must not remove/);
    assert.equal((await jobsOf('convert')).length, 0);
  });

  it('says what the API server has against a Job, and goes on when it is mended', async () => {
    await create({ ...spec, jobs: { steps: { convert: { podTemplate: { spec: { activeDeadlineSeconds: 'soon' } } } } } });
    await until('it is stalled', 15_000, async () => (await told('Stalled')) === 'True ApplyFailed');
    await change({ jobs: { steps: { convert: { podTemplate: null } } } });
    await jobOf('convert');
  });

  it('refuses a bundle that misses the gate, and offers it when the gate is lowered', async () => {
    await create({ ...spec, gate: { maxPositiveRate: 0.05 } });
    for (const step of steps) await complete(step);
    await until('it is refused', 10_000, async () => (await read()).status?.phase === 'Refused');
    assert.equal(await told('Ready'), 'False PositiveRateTooHigh');
    assert.equal((await read()).status?.bundle, undefined);
    await change({ gate: { maxPositiveRate: 0.2 } });
    await until('it is ready', 10_000, async () => (await told('Ready')) === 'True Done');
    for (const step of steps) assert.equal((await jobsOf(step)).length, 1);
  });

  it('gives its bundle to one deployment after the other, and goes back where routers report an alarm', async () => {
    for (const follower of ['one', 'two']) {
      const model = { model: '/m', engine: 'CPU' };
      const router = { checkpoint: { routerRef: { name } } };
      await admin.create(r2rDeployments, {
        apiVersion,
        kind: 'R2RDeployment',
        metadata: { name: follower, namespace },
        spec: { slm: model, llm: model, router },
      });
    }
    /** What the controller of deployments says of one's routers. */
    const report = (follower: string, digest: string, reason = 'UpToDate') =>
      admin.patch(
        r2rDeployments,
        { namespace, name: follower },
        {
          status: {
            router: { configDigest: 'c', strategy: 'neural', bundle: { digest } },
            conditions: [
              {
                type: 'RouterReady',
                status: reason === 'UpToDate' ? 'True' : 'False',
                reason,
                message: 'm',
                observedGeneration: 1,
                lastTransitionTime: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
              },
            ],
          },
        },
        { subresource: 'status' },
      );
    const states = async () =>
      (await read()).status?.deployments?.map((each) => `${each.name} ${each.state} ${each.digest?.slice(0, 4) ?? '-'}`).join(', ');
    await create({ ...spec, rollout: { observeSeconds: 2 } });
    await until('they wait', 10_000, async () => (await states()) === 'one Waiting -, two Waiting -');
    for (const step of steps) await complete(step);
    const first = await until('a bundle', 10_000, async () => (await read()).status?.bundle?.digest);
    const short = first.slice(0, 4);
    await until('the first gets it', 10_000, async () => (await states()) === `one Updating ${short}, two Waiting -`);
    await report('one', first);
    await until('it is observed', 10_000, async () => (await states()) === `one Observing ${short}, two Waiting -`);
    await until('the second gets it', 10_000, async () => (await states()) === `one Done ${short}, two Updating ${short}`);
    await report('two', first);
    await until('all have it', 15_000, async () => (await told('RolledOut')) === 'True RolledOut');

    await change({ training: { seed: 7 } });
    await complete('train');
    await complete('bundle');
    const second = await until('another bundle', 10_000, async () => {
      const digest = (await read()).status?.bundle?.digest;
      return digest !== first && digest;
    });
    assert.match(
      (await jobOfAll('bundle')).spec?.template.spec?.containers[0]?.args?.join(' ') ?? '',
      new RegExp(`--compare pvc://tiny-workspace/store/bundles/${first}`),
    );
    const next = second.slice(0, 4);
    await until('the first gets that', 10_000, async () => (await states()) === `one Updating ${next}, two Waiting ${short}`);
    await report('one', second, 'LogitSpreadHigh');
    await until('it goes back', 10_000, async () => (await states()) === `one RolledBack ${short}, two Waiting ${short}`);
    assert.equal(await told('RolledOut'), 'False RolledBack');
    await report('one', first);

    await change({ rollout: { bundle: first, observeSeconds: 0 } });
    await until('the first bundle is wanted again', 15_000, async () => (await states()) === `one Done ${short}, two Done ${short}`);
    assert.equal((await read()).status?.bundle?.digest, first);
    assert.equal(await told('RolledOut'), 'True RolledOut');
  });
});
