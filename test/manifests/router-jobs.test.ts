import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { jobName } from '../../src/api/r2rrouter-names.ts';
import { jobNames } from '../../src/api/r2rrouter-jobs.ts';
import type { R2RRouterSpecInput } from '../../src/api/r2rrouter.ts';
import { OverlayError, routerSteps, stepObjects } from '../../src/manifests/index.ts';
import { exitCodes } from '../../src/pipeline/outcome.ts';
import type { ApiServer } from '../api/api-server.ts';
import { apiServer } from '../api/api-server.ts';
import { routerPath, storedRouter } from '../api/routers.ts';
import { assertGolden } from './golden.ts';
import { jobOf, jobOptions, renderRouter } from './router-rendering.ts';
import type { RenderedJob } from './router-rendering.ts';

const datasets = [{ name: 'sums', path: '/opt/r2r/examples/models/problems', questionField: 'question', answerField: 'answer' }];
const tiny: R2RRouterSpecInput = {
  preset: 'tiny',
  source: { pipeline: { datasets, respond: { maxNewTokens: 256 } } },
  training: { hiddenDims: [64, 64], epochs: 20 },
};
const qwen: R2RRouterSpecInput = {
  preset: 'Qwen3-0.6B+Qwen3-32B',
  models: { claim: 'weights', llm: { url: 'http://qwen-llm.models:30000' }, continuation: { model: 'pvc://weights/Qwen/Qwen3-32B' } },
  source: {
    pipeline: {
      datasets: [{ preset: 'aime' }, { preset: 'gpqa_extended' }, { name: 'own', path: 'pvc://questions/a.jsonl', questionField: 'q' }],
      tokenSecretRef: { name: 'hub', key: 'token' },
    },
  },
  training: { gpus: 4, config: { data: { train: { filter: ['has_divergent'] } } }, learningRate: 1e-4 },
  jobs: {
    queueName: 'gpus',
    deadlineSeconds: 86_400,
    networkPolicy: { monitoringNamespace: 'monitoring' },
    steps: {
      respond: { shards: 4, concurrency: 64 },
      continue: {
        shards: 4,
        deadlineSeconds: 172_800,
        podTemplate: { spec: { nodeSelector: { gpu: 'h100' } } },
      },
    },
  },
  storage: {
    workspace: { claim: 'shared.labels', accessMode: 'ReadWriteMany' },
    bundles: { s3: { bucket: 'routers', endpoint: 'https://s3.storage:9000', credentialsSecretName: 's3', caSecretName: 's3-ca' } },
  },
};
const checkpoint: R2RRouterSpecInput = {
  models: { slm: { model: 'pvc://weights/r1-1.5b' } },
  source: { checkpoint: { uri: 'hf://org/repo/router.pt@main', tokenSecretRef: { name: 'hub', key: 'token' } } },
  storage: { bundles: { claim: 'bundles' } },
};
const labels: R2RRouterSpecInput = { ...checkpoint, source: { labels: { path: 'pvc://data/labels' } }, training: { gpus: 0 } };
const all = { tiny, qwen, checkpoint, labels };

const render = (spec: R2RRouterSpecInput) => renderRouter(storedRouter('tiny', spec));
const stepOf = (spec: R2RRouterSpecInput, name: (typeof jobNames)[number]) => jobOf(render(spec), name).spec.template.spec.containers[0]!;

describe('the Jobs of an R2RRouter', () => {
  for (const [name, spec] of Object.entries(all)) {
    it(`are those of the golden file for ${name}`, () => {
      assertGolden(`router-${name}.yaml`, renderRouter(storedRouter(name, spec)));
    });
  }

  it('are the same for the same input, which is left as it was', () => {
    const router = storedRouter('tiny', qwen);
    const copy = structuredClone(router);
    assert.equal(JSON.stringify(renderRouter(router)), JSON.stringify(renderRouter(copy)));
    assert.deepEqual(router, copy);
  });

  it('run for a source only what it needs', () => {
    const steps = (spec: R2RRouterSpecInput) =>
      render(spec).flatMap(({ kind, metadata }) => (kind === 'Job' ? [(metadata.labels as Record<string, string>)['r2r.dev/step']] : []));
    assert.deepEqual(steps(tiny), [...jobNames]);
    assert.deepEqual(steps(labels), ['train', 'bundle']);
    assert.deepEqual(steps(checkpoint), ['bundle']);
  });

  it('compare a bundle with the one in use where that lies, and keep the bundles that are named', () => {
    const digest = 'a'.repeat(64);
    const podOf = (spec: R2RRouterSpecInput, current: string) => {
      const router = storedRouter('tiny', spec);
      const step = routerSteps(router.spec).at(-1)!;
      const identity = { step: step.name, format: step.format, params: step.params, inputs: {} };
      const [, job] = stepObjects({ router, identity, current, retain: [digest] }, jobOptions);
      return (job as unknown as RenderedJob).spec.template.spec;
    };
    const claims = (spec: R2RRouterSpecInput, current: string) =>
      podOf(spec, current).volumes.flatMap(({ persistentVolumeClaim }) =>
        persistentVolumeClaim ? [(persistentVolumeClaim as { claimName: string }).claimName] : [],
      );
    const here = `pvc://tiny-workspace/store/tiny/bundles/${digest}`;
    const args = podOf(tiny, here).containers[0]!.args.join(' ');
    assert.ok(args.includes(`--compare ${here} --min-recall 0.95 --prune --retain ${digest}`), args);
    assert.deepEqual(claims(tiny, here), ['tiny-workspace']);
    assert.deepEqual(claims(tiny, `pvc://elsewhere/bundles/${digest}`), ['tiny-workspace', 'elsewhere']);
    assert.deepEqual(claims(checkpoint, `pvc://bundles/tiny/bundles/${digest}`), ['tiny-workspace', 'weights', 'bundles']);
    assert.deepEqual(claims(tiny, `s3://routers/a/bundles/${digest}`), ['tiny-workspace']);
  });

  it('have pods without a service account’s token, that no Secret or claim is written by but the workspace and the bundles', () => {
    for (const spec of Object.values(all)) {
      for (const object of render(spec).filter(({ kind }) => kind === 'Job')) {
        const pod = (object as unknown as ReturnType<typeof jobOf>).spec.template.spec;
        assert.equal(pod.automountServiceAccountToken, false);
        assert.equal(pod.serviceAccountName, undefined);
        for (const { name, mountPath, readOnly } of pod.containers[0]!.volumeMounts) {
          if (!readOnly) assert.ok(['workspace', 'bundles', 'step-tmp', 'shm'].includes(name), `${name} at ${mountPath} is writable`);
        }
      }
    }
  });

  it('start a model server as a sidecar, or borrow one', () => {
    const own = jobOf(render(tiny), 'respond').spec.template.spec;
    assert.equal(own.initContainers![0]!.restartPolicy, 'Always');
    assert.ok(own.containers[0]!.args.includes('llm=http://$(POD_IP):30000'));
    const borrowed = jobOf(render(qwen), 'respond').spec.template.spec;
    assert.equal(borrowed.initContainers, undefined);
    assert.equal(borrowed.tolerations, undefined);
    assert.ok(borrowed.containers[0]!.args.includes('llm=http://qwen-llm.models:30000'));
  });

  it('start the small model’s server where it is the writer, and nothing else differs', () => {
    const slmWrites = { ...tiny, source: { pipeline: { datasets, respond: { maxNewTokens: 256, writer: 'slm' as const } } } };
    const [own, usual] = [slmWrites, tiny].map((spec) => jobOf(render(spec), 'respond').spec.template.spec);
    assert.ok(own!.containers[0]!.args.includes('slm=http://$(POD_IP):30000'));
    assert.ok(!own!.containers[0]!.args.some((arg) => arg.startsWith('llm=http')));
    assert.deepEqual(
      own!.volumes,
      usual!.volumes.map((volume, at) => ({ ...volume, ...(at === 1 && { configMap: own!.volumes[1]!.configMap }) })),
    );
    const args = (spec: typeof tiny) => jobOf(render(spec), 'continue').spec.template.spec.containers[0]!.args;
    assert.deepEqual(args(slmWrites), args(tiny));
  });

  it('give servers the GPUs of upstream: 1, 2 and 4', () => {
    const gpus = (name: (typeof jobNames)[number]) =>
      jobOf(render(qwen), name).spec.template.spec.initContainers![0]!.resources.limits!['nvidia.com/gpu'];
    assert.deepEqual([gpus('prefill'), gpus('continue'), gpus('verify')], ['1', '2', '4']);
  });

  it('share questions over pods where that is asked for, and fail as often as each of them may', () => {
    const { spec } = jobOf(render(qwen), 'continue');
    assert.deepEqual([spec.completions, spec.completionMode, spec.backoffLimit, spec.activeDeadlineSeconds], [4, 'Indexed', 24, 172_800]);
    assert.equal(jobOf(render(tiny), 'continue').spec.completionMode, undefined);
  });

  it('wait for Kueue where a queue is named', () => {
    const queued = jobOf(render(qwen), 'verify');
    assert.equal(queued.spec.suspend, true);
    assert.equal(queued.metadata.labels['kueue.x-k8s.io/queue-name'], 'gpus');
    assert.equal(jobOf(render(tiny), 'verify').spec.suspend, undefined);
  });

  it('run on one node where the workspace’s volume is for one, and anywhere else', () => {
    assert.ok(jobOf(render(tiny), 'convert').spec.template.spec.affinity !== undefined);
    assert.equal(jobOf(render(qwen), 'convert').spec.template.spec.affinity, undefined);
  });

  it('have pods that only the operator reaches, at their progress', () => {
    const policy = render(tiny).find(({ kind }) => kind === 'NetworkPolicy') as unknown as {
      spec: { podSelector: { matchLabels: Record<string, string> }; ingress: { ports: { port: number }[]; from: object[] }[] };
    };
    for (const step of jobNames) {
      const { labels: own } = jobOf(render(tiny), step).spec.template.metadata;
      for (const [key, value] of Object.entries(policy.spec.podSelector.matchLabels)) assert.equal(own[key], value);
    }
    assert.deepEqual(
      policy.spec.ingress.map(({ ports, from }) => [ports.map(({ port }) => port), from.length]),
      [[[9090], 1]],
    );
  });

  it('tell the trainer what the spec says, and only that', () => {
    const { args, command } = stepOf(tiny, 'train');
    const set = args.flatMap((each, index) => (each === '--set' ? [args[index + 1]] : []));
    assert.deepEqual(set, ['model.init_args.hidden_dims=[64,64]', 'training.params.num_epochs=20']);
    assert.deepEqual(command, ['python3', '-m', 'r2r_trainer']);
    assert.deepEqual(stepOf(qwen, 'train').command, ['python3', '-m', 'r2r_trainer', '--processes', '4']);
  });

  it('speak to the trainer with flags that it has, and have it report as the other steps do', () => {
    const known = new Set(readFileSync('trainer/r2r_trainer/__main__.py', 'utf8').match(/(?<=add\(")--[a-z-]+/g));
    for (const spec of [tiny, qwen, labels]) {
      const { args, command } = stepOf(spec, 'train');
      for (const flag of [...command!, ...args].filter((each) => each.startsWith('--'))) assert.ok(known.has(flag), flag);
      const { 'r2r.dev/step-hash': hash } = jobOf(render(spec), 'train').metadata.labels;
      assert.deepEqual(args.slice(-6), ['--hash', hash, '--progress-port', '9090', '--termination-log', '/dev/termination-log']);
    }
  });

  it('fail at once with every exit code that needs a person, and with no other', () => {
    const trainer = /^DONE, MAY_PASS, WRONG, TERMINATED = 0, (\d+), (\d+), (\d+)$/m.exec(
      readFileSync('trainer/r2r_trainer/__main__.py', 'utf8'),
    );
    assert.deepEqual(trainer?.slice(1), [String(exitCodes.mayPass), String(exitCodes.usage), '143']);
    for (const step of jobNames) {
      const [rule] = jobOf(render(tiny), step).spec.podFailurePolicy.rules;
      assert.deepEqual([rule?.action, rule?.onExitCodes?.values], ['FailJob', [exitCodes.usage, exitCodes.refused]]);
    }
  });

  it('have names that leave room for a pod’s, at the longest name of a router', () => {
    for (const step of jobNames) assert.ok(`${jobName('a'.repeat(40), step, '0123456789abcdef')}-63`.length <= 63);
  });

  const withOverlay = (spec: Record<string, unknown>): R2RRouterSpecInput => ({
    ...tiny,
    jobs: { steps: { respond: { podTemplate: { spec } } } },
  });
  const broken: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
    [
      'its container',
      { containers: [{ name: 'step', $patch: 'delete' }] },
      /jobs\.steps\.respond\.podTemplate\.spec\.containers: must not remove/,
    ],
    ['its model server', { initContainers: [{ name: 'engine', $patch: 'delete' }] }, /initContainers: must leave the container "engine"/],
    ['who decides what is tried again', { restartPolicy: 'OnFailure' }, /restartPolicy: must be Never/],
  ];
  for (const [what, overlay, message] of broken) {
    it(`refuse an overlay that takes away ${what}`, () => {
      assert.throws(
        () => render(withOverlay(overlay)),
        (error) => error instanceof OverlayError && message.test(error.message),
      );
    });
  }

  describe('on a real API server', function () {
    this.timeout(180_000);
    let server: ApiServer;
    let namespace: string;
    before(async () => {
      server = await apiServer();
      namespace = await server.namespace('router-jobs');
      const label = { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } };
      await server.send('PATCH', `/api/v1/namespaces/${namespace}`, label, 'application/merge-patch+json');
    });
    after(() => server.close());

    const plurals: Readonly<Record<string, string>> = {
      ConfigMap: '/api/v1/namespaces/NAMESPACE/configmaps',
      PersistentVolumeClaim: '/api/v1/namespaces/NAMESPACE/persistentvolumeclaims',
      NetworkPolicy: '/apis/networking.k8s.io/v1/namespaces/NAMESPACE/networkpolicies',
      Job: '/apis/batch/v1/namespaces/NAMESPACE/jobs',
    };
    const path = (kind: string) => plurals[kind]!.replace('NAMESPACE', namespace);

    for (const [name, spec] of Object.entries(all)) {
      it(`are valid to the last field for ${name}, in a namespace of the restricted pod security standard`, async () => {
        const router = storedRouter(name, spec);
        const manifest = { apiVersion: router.apiVersion, kind: router.kind, metadata: { name, namespace }, spec };
        const created = await server.send('POST', `${routerPath(namespace)}?dryRun=All&fieldValidation=Strict`, manifest);
        assert.equal(created.status, 201, created.body.message);
        for (const object of renderRouter({ ...router, metadata: { ...router.metadata, namespace } })) {
          const answer = await server.send('POST', `${path(object.kind)}?dryRun=All&fieldValidation=Strict`, object);
          assert.equal(answer.status, 201, `${object.kind} ${object.metadata.name}: ${answer.body.message ?? ''}`);
          if (object.kind !== 'Job') continue;
          // as serializers that do not know a field would drop it
          const { spec: kept } = answer.body as unknown as ReturnType<typeof jobOf>;
          const [sidecar] = kept.template.spec.initContainers ?? [];
          if (sidecar) assert.equal(sidecar.restartPolicy, 'Always');
          const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { generateName: 'p-' }, spec: kept.template.spec };
          const admitted = await server.send('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All&fieldValidation=Strict`, pod);
          assert.equal(admitted.status, 201, `${object.metadata.name}: ${admitted.body.message ?? ''}`);
        }
      });
    }
  });
});
