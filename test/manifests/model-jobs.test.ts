import assert from 'node:assert/strict';
import { cachedModels } from '../../src/api/cached-models.ts';
import type { R2RDeployment, R2RDeploymentSpecInput } from '../../src/api/r2rdeployment.ts';
import type { KubeObject } from '../../src/manifests/index.ts';
import { OverlayError, modelCacheObject, modelJob, modelJobInputs, modelJobsPolicy } from '../../src/manifests/index.ts';
import { exitCodes } from '../../src/pipeline/outcome.ts';
import type { ApiServer } from '../api/api-server.ts';
import { apiServer } from '../api/api-server.ts';
import { stored } from '../api/deployments.ts';
import { assertGolden } from './golden.ts';
import { options, render, workload } from './rendering.ts';

const pair: R2RDeploymentSpecInput = {
  slm: { model: 'hf://Qwen/Qwen3-0.6B@main' },
  llm: { model: 'hf://Qwen/Qwen3-8B@main' },
  modelCache: {},
};
const gated: R2RDeploymentSpecInput = {
  ...pair,
  modelCache: {
    claim: 'shared.weights',
    endpoint: 'https://hub.example',
    tokenSecretRef: { name: 'hub', key: 'token' },
    podTemplate: {
      metadata: { labels: { team: 'math' } },
      spec: { containers: [{ name: 'download', env: [{ name: 'NODE_EXTRA_CA_CERTS', value: '/ca/ca.crt' }] }] },
    },
  },
};

function objectsOf(deployment: R2RDeployment): readonly KubeObject[] {
  const claim = modelCacheObject(deployment);
  const jobs = cachedModels(deployment).map((model) => modelJob(deployment, model, options));
  return [...(claim ? [claim] : []), modelJobsPolicy(deployment, options), ...jobs];
}

interface RenderedJob {
  readonly metadata: { readonly name: string; readonly annotations: Readonly<Record<string, string>> };
  readonly spec: {
    readonly podFailurePolicy: { readonly rules: readonly { readonly onExitCodes?: { readonly values: readonly number[] } }[] };
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: { readonly containers: readonly { readonly args: readonly string[] }[]; readonly affinity?: unknown };
    };
  };
}
const jobsOf = (spec: R2RDeploymentSpecInput, name = 'qwen'): readonly RenderedJob[] =>
  objectsOf(stored(name, spec)).filter(({ kind }) => kind === 'Job') as unknown as readonly RenderedJob[];

describe('the downloads of an R2RDeployment', () => {
  it('are those of the golden file for a claim that is made', () => {
    assertGolden('model-cache.yaml', objectsOf(stored('qwen', pair)));
  });

  it("are those of the golden file for gated models of another hub, on somebody's claim", () => {
    assertGolden('model-cache-gated.yaml', objectsOf(stored('qwen', gated)));
  });

  it('write the folder that the pods read', () => {
    for (const spec of [pair, gated]) {
      const folders = jobsOf(spec).map((job) => {
        const { args } = job.spec.template.spec.containers[0]!;
        return args[args.indexOf('--folder') + 1];
      });
      const objects = render(stored('qwen', spec));
      const paths = (['slm', 'llm'] as const).map((role) => {
        const { containers, initContainers = [] } = workload(objects, role).spec.template.spec;
        const { args, volumeMounts } = [...initContainers, ...containers].find(({ name }) => name === 'engine')!;
        const path = args[args.indexOf('--model-path') + 1]!;
        assert.ok(volumeMounts.some(({ mountPath, readOnly }) => path.startsWith(`${mountPath}/`) && readOnly === true));
        return path;
      });
      assert.deepEqual(folders, paths);
      const router = workload(objects, 'slm').spec.template.spec.containers[0]!;
      for (const path of paths) assert.ok(router.args.includes(path), path);
    }
  });

  it('say where models are to the last byte alike for two deployments of one claim', () => {
    const folders = ['a', 'b'].map((name) => jobsOf(gated, name).map((job) => job.spec.template.spec.containers[0]!.args));
    assert.deepEqual(folders[0], folders[1]);
  });

  it('have names with room for a pod and its host', () => {
    for (const { metadata } of jobsOf(pair, 'a'.repeat(40))) assert.ok(metadata.name.length + 6 <= 63, metadata.name);
  });

  it('are one where both sides have the same model', () => {
    assert.equal(jobsOf({ ...pair, llm: { model: 'hf://Qwen/Qwen3-0.6B@main' } }).length, 1);
  });

  it('are not tried again by the Job where the program says that a person is needed', () => {
    const [job] = jobsOf(pair);
    const values = job!.spec.podFailurePolicy.rules.flatMap(({ onExitCodes }) => onExitCodes?.values ?? []);
    assert.deepEqual(values, [exitCodes.usage, exitCodes.refused]);
  });

  it('are others when they are told otherwise, but not when the claim grows', () => {
    const inputs = (modelCache: R2RDeploymentSpecInput['modelCache']): string => modelJobInputs(stored('qwen', { ...pair, modelCache }));
    const before = inputs({});
    assert.equal(inputs({ size: '1Ti', onDelete: 'Delete' }), before);
    assert.notEqual(inputs({ tokenSecretRef: { name: 'hub', key: 'token' } }), before);
    assert.notEqual(inputs({ podTemplate: { spec: { priorityClassName: 'low' } } }), before);
  });

  it('run on the node of the pods, and these on theirs, where the volume is for one node', () => {
    const onOne: R2RDeploymentSpecInput = { ...pair, modelCache: { accessMode: 'ReadWriteOnce' } };
    const label = { 'r2r.dev/model-cache': 'qwen-models' };
    const templates = [
      ...jobsOf(onOne).map(({ spec }) => spec.template),
      ...(['slm', 'llm'] as const).map((role) => workload(render(stored('qwen', onOne)), role).spec.template),
    ];
    assert.equal(templates.length, 4);
    for (const { metadata, spec } of templates) {
      assert.equal(metadata.labels['r2r.dev/model-cache'], 'qwen-models');
      assert.deepEqual((spec as { affinity?: unknown }).affinity, {
        podAffinity: {
          requiredDuringSchedulingIgnoredDuringExecution: [
            { labelSelector: { matchLabels: label }, topologyKey: 'kubernetes.io/hostname' },
          ],
        },
      });
    }
    const slmOnly = render(stored('qwen', { ...onOne, llm: { model: '/opt/llm' } }));
    assert.equal('affinity' in workload(slmOnly, 'llm').spec.template.spec, false, 'it does not mount the cache');
  });

  for (const [what, overlay, message] of [
    [
      'removes its container',
      { containers: [{ name: 'download', $patch: 'delete' }] },
      /podTemplate\.spec\.containers: must not remove the container "download"/,
    ],
    ['has the pod restart', { restartPolicy: 'OnFailure' }, /podTemplate\.spec\.restartPolicy: must be Never/],
  ] as const)
    it(`are refused with an overlay that ${what}`, () => {
      assert.throws(
        () => jobsOf({ ...pair, modelCache: { podTemplate: { spec: overlay } } }),
        (error) => error instanceof OverlayError && message.test(error.message),
      );
    });

  describe('on a real API server', function () {
    this.timeout(180_000);
    let server: ApiServer;
    before(async () => (server = await apiServer()));
    after(() => server.close());

    it('are valid to the last field, and admitted by a namespace of the restricted pod security standard', async () => {
      const namespace = await server.namespace('downloads');
      const label = { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } };
      assert.equal((await server.send('PATCH', `/api/v1/namespaces/${namespace}`, label, 'application/merge-patch+json')).status, 200);
      const paths: Record<string, string> = {
        PersistentVolumeClaim: `/api/v1/namespaces/${namespace}/persistentvolumeclaims`,
        NetworkPolicy: `/apis/networking.k8s.io/v1/namespaces/${namespace}/networkpolicies`,
        Job: `/apis/batch/v1/namespaces/${namespace}/jobs`,
      };
      for (const spec of [pair, gated])
        for (const object of objectsOf(stored('qwen', spec))) {
          const { metadata } = object;
          const sent = { ...object, metadata: { ...metadata, namespace } };
          const answer = await server.send('POST', `${paths[object.kind]}?fieldValidation=Strict&dryRun=All`, sent);
          assert.equal(answer.status, 201, `${object.kind} ${metadata.name}: ${answer.body.message ?? ''}`);
          if (object.kind !== 'Job') continue;
          const { template } = (object as unknown as { spec: { template: { spec: object } } }).spec;
          const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { generateName: 'p-' }, spec: template.spec };
          const admitted = await server.send('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All`, pod);
          assert.equal(admitted.status, 201, admitted.body.message);
        }
    });
  });
});
