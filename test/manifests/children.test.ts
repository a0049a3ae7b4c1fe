import assert from 'node:assert/strict';
import { labels, templateRecordName } from '../../src/api/names.ts';
import type { R2RDeploymentSpecInput } from '../../src/api/r2rdeployment.ts';
import { revisionOf, templateKey } from '../../src/api/revision.ts';
import type { RouterOffer } from '../../src/api/router-offer.ts';
import { OverlayError, endpointService, podTemplates, routerConfig } from '../../src/manifests/index.ts';
import { stored } from '../api/deployments.ts';
import { assertGolden } from './golden.ts';
import { example, options, render, workload } from './rendering.ts';

const pair = (
  slm: Partial<R2RDeploymentSpecInput['slm']> = {},
  llm: Partial<R2RDeploymentSpecInput['llm']> = {},
): R2RDeploymentSpecInput => ({
  slm: { model: '/models/slm', ...slm },
  llm: { model: '/models/llm', ...llm },
});

/** The values that follow a flag; the last occurrence is what argparse takes. */
function flag(args: readonly string[], name: string): string | undefined {
  const at = args.lastIndexOf(name);
  return at < 0 ? undefined : args[at + 1];
}

const withoutRecord = (objects: ReturnType<typeof render>) => objects.filter(({ kind }) => kind !== 'ControllerRevision');

describe('the children of an R2RDeployment', () => {
  it('are those of the golden file for the tiny pair on the CPU engine', () => {
    assertGolden('tiny-cpu.yaml', withoutRecord(render(example('r2rdeployment.yaml'))));
  });

  it('are those of the golden file for R1 1.5B and 32B on SGLang', () => {
    assertGolden('r1-1.5b-32b-sglang.yaml', withoutRecord(render(example('r1-1.5b-32b.yaml'))));
  });

  it('are those of the golden file for API keys, TLS, traces and a checkpoint on a claim and a GPU', () => {
    const { metadata, spec } = example('r2rdeployment-secured.yaml');
    const secured = stored(metadata.name, {
      ...spec,
      api: { ...spec.api, tracing: { endpoint: 'http://collector.monitoring:4318' } },
      router: { checkpoint: { uri: 'pvc://routers/tiny.pt' }, device: 'cuda' },
    });
    assertGolden('secured.yaml', withoutRecord(render(secured)));
  });

  const following = (offer: RouterOffer) => {
    const { metadata, spec } = example('r2rdeployment.yaml');
    const deployment = stored(metadata.name, { ...spec, router: { checkpoint: { routerRef: { name: 'math' } } } });
    return { ...deployment, spec: { ...deployment.spec, router: { ...deployment.spec.router, offer } } };
  };

  it('are those of the golden file for bundles of an R2RRouter in its workspace, on a volume for one node', () => {
    const offer = { claim: 'math-workspace', onOneNode: true, uri: 'pvc://math-workspace/store/bundles/0a1b' };
    assertGolden('follows-claim.yaml', withoutRecord(render(following(offer))));
  });

  it('are those of the golden file for bundles of an R2RRouter in an object store', () => {
    const s3 = {
      endpoint: 'https://minio.storage:9000',
      region: 'eu-west-1',
      credentialsSecretName: 'store-keys',
      caSecretName: 'store-ca',
    };
    assertGolden(
      'follows-s3.yaml',
      withoutRecord(render(following({ onOneNode: false, s3, uri: 's3://models/routers/math/bundles/0a1b' }))),
    );
  });

  it('go to the node of the Jobs by the label that these have, where the workspace is a volume for one node', () => {
    const { metadata, spec } = workload(render(following({ claim: 'math-workspace', onOneNode: true })), 'slm').spec.template;
    const { affinity } = spec as {
      affinity?: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { labelSelector: { matchLabels: object } }[] } };
    };
    const [term] = affinity?.podAffinity.requiredDuringSchedulingIgnoredDuringExecution ?? [];
    // The first pod attracts itself, so that it can go somewhere.
    assert.partialDeepStrictEqual(metadata.labels, term?.labelSelector.matchLabels);
    assert.deepEqual(term?.labelSelector.matchLabels, { 'r2r.dev/workspace': 'math-workspace' });
    const llm = workload(render(following({ claim: 'math-workspace', onOneNode: true })), 'llm').spec.template;
    assert.equal(llm.spec.affinity, undefined);
  });

  it('pin the pod templates in a record named by the inputs', () => {
    const deployment = example('r2rdeployment.yaml');
    const record = render(deployment).find(({ kind }) => kind === 'ControllerRevision');
    assert.equal(record?.metadata.name, templateRecordName('tiny', templateKey(deployment.spec)));
    assert.deepEqual(record.data, podTemplates(deployment, options));
  });

  it('are the same for the same input, which is left as it was', () => {
    const deployment = example('r1-1.5b-32b.yaml');
    const copy = structuredClone(deployment);
    assert.equal(JSON.stringify(render(deployment)), JSON.stringify(render(copy)));
    assert.deepEqual(deployment, copy);
  });

  it('all carry the owner, the namespace and the labels by which the operator finds them', () => {
    const deployment = stored('tiny', pair());
    for (const { kind, metadata } of render(deployment)) {
      assert.deepEqual(metadata.ownerReferences, [
        {
          apiVersion: 'r2r.dev/v1alpha1',
          kind: 'R2RDeployment',
          name: 'tiny',
          uid: deployment.metadata.uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ]);
      assert.equal(metadata.namespace, 'models');
      const expected = labels('tiny', kind === 'Service' && metadata.name === 'tiny' ? undefined : revisionOf(deployment.spec));
      for (const [key, value] of Object.entries(expected)) assert.equal((metadata.labels as Record<string, string>)[key], value, kind);
    }
  });

  it('have names of their own for each kind', () => {
    const names = render(stored('tiny', pair())).map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    assert.equal(new Set(names).size, names.length);
  });

  it('come in an order in which nothing waits for a later one: pods last, the endpoint after them', () => {
    const kinds = render(stored('tiny', pair())).map(({ kind }) => kind);
    assert.deepEqual(kinds.slice(-3), ['Deployment', 'Deployment', 'Service']);
  });
});

describe('the SLM pod', () => {
  const pod = (input = pair()) => workload(render(stored('tiny', input)), 'slm').spec.template.spec;

  it('still has restartPolicy: Always on its engine, which makes it a native sidecar', () => {
    for (const engine of ['CPU', 'SGLang'] as const) {
      const [sidecar] = workload(render(stored('tiny', pair({ engine }))), 'slm').spec.template.spec.initContainers!;
      assert.equal(sidecar!.name, 'engine');
      assert.equal(sidecar!.restartPolicy, 'Always');
    }
  });

  it("mounts the service account's token into the router alone", () => {
    const { automountServiceAccountToken, containers, initContainers, volumes } = pod();
    assert.equal(automountServiceAccountToken, false);
    const tokens = volumes.filter(({ projected }) => projected !== undefined).map(({ name }) => name);
    assert.equal(tokens.length, 1);
    const mounts = (list: typeof containers) =>
      list.flatMap(({ volumeMounts }) => volumeMounts).filter(({ name }) => tokens.includes(name));
    assert.deepEqual(mounts(containers), [{ name: tokens[0], mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true }]);
    assert.deepEqual(mounts(initContainers!), []);
  });

  it('asks only the SLM for hidden states', () => {
    const objects = render(stored('tiny', pair()));
    assert.ok(workload(objects, 'slm').spec.template.spec.initContainers![0]!.args.includes('--enable-return-hidden-states'));
    assert.ok(!workload(objects, 'llm').spec.template.spec.containers[0]!.args.includes('--enable-return-hidden-states'));
  });

  it('mounts a claim that holds both models once, read-only, in router and engine', () => {
    const { volumes, containers, initContainers } = pod(pair({ model: 'pvc://weights/a' }, { model: 'pvc://weights/b/' }));
    const claims = volumes.filter(({ persistentVolumeClaim }) => persistentVolumeClaim !== undefined);
    assert.deepEqual(claims, [{ name: 'model-weights', persistentVolumeClaim: { claimName: 'weights', readOnly: true } }]);
    for (const { volumeMounts } of [...containers, ...initContainers!]) {
      assert.deepEqual(volumeMounts[0], { name: 'model-weights', mountPath: '/models/weights', readOnly: true });
    }
    assert.equal(flag(containers[0]!.args, '--slm-model-path'), '/models/weights/a');
    assert.equal(flag(containers[0]!.args, '--llm-model-path'), '/models/weights/b');
    assert.equal(flag(initContainers![0]!.args, '--model-path'), '/models/weights/a');
  });

  it('gives a claim whose name no volume may have another volume name', () => {
    const claim = `${'c'.repeat(60)}.v2`;
    const [volume] = pod(pair({ model: `pvc://${claim}/a` })).volumes;
    assert.match(volume!.name, /^model-[0-9a-f]{16}$/);
    assert.deepEqual(volume!.persistentVolumeClaim, { claimName: claim, readOnly: true });
  });
});

describe('the router container', () => {
  const slm = (router: R2RDeploymentSpecInput['router'], api: R2RDeploymentSpecInput['api'] = {}, engine: 'CPU' | 'SGLang' = 'CPU') =>
    workload(render(stored('tiny', { ...pair({ engine }), router, api })), 'slm').spec.template.spec;
  const router = (...input: Parameters<typeof slm>) => slm(...input).containers[0]!;
  const uri = 'hf://org/repo/router.pt@main';

  it('alone gets the Secrets of the spec, as read-only files that may come later', () => {
    const checkpoint = { uri, tokenSecretRef: { name: 'hub', key: 'read' } };
    const { containers, initContainers, volumes } = slm({ checkpoint }, { auth: { secretName: 'clients' }, tls: { secretName: 'pair' } });
    const secrets = volumes.filter(({ secret }) => secret !== undefined);
    assert.deepEqual(secrets, [
      { name: 'hub-token', secret: { secretName: 'hub', optional: true, items: [{ key: 'read', path: 'token' }] } },
      { name: 'api-keys', secret: { secretName: 'clients', optional: true } },
      { name: 'tls', secret: { secretName: 'pair', optional: true } },
    ]);
    const mounts = (list: typeof containers) =>
      list.flatMap(({ volumeMounts }) => volumeMounts).filter(({ name }) => secrets.some((secret) => secret.name === name));
    assert.deepEqual(mounts(containers), [
      { name: 'hub-token', mountPath: '/etc/r2r/hub-token', readOnly: true },
      { name: 'api-keys', mountPath: '/etc/r2r/api-keys', readOnly: true },
      { name: 'tls', mountPath: '/etc/r2r/tls', readOnly: true },
    ]);
    assert.deepEqual(mounts(initContainers!), []);
    const { args } = containers[0]!;
    assert.equal(flag(args, '--api-keys'), '/etc/r2r/api-keys');
    assert.deepEqual([flag(args, '--tls-cert'), flag(args, '--tls-key')], ['/etc/r2r/tls/tls.crt', '/etc/r2r/tls/tls.key']);
    assert.equal(flag(args, '--hf-token-file'), '/etc/r2r/hub-token/token');
  });

  it('has none of these arguments when nothing asks for them', () => {
    const { args } = router({});
    for (const name of ['--api-keys', '--tls-cert', '--tls-key', '--otlp-endpoint', '--hf-token-file']) assert.ok(!args.includes(name));
  });

  it('speaks HTTPS under a port of that name, and is asked so by the kubelet, with a TLS Secret', () => {
    const probes = ({ startupProbe, readinessProbe, livenessProbe }: Record<string, unknown>) => [
      startupProbe,
      readinessProbe,
      livenessProbe,
    ];
    const plain = router({}) as unknown as Record<string, unknown>;
    const secure = router({}, { tls: { secretName: 'pair' } }) as unknown as Record<string, unknown>;
    for (const probe of probes(plain) as { httpGet: object }[]) assert.partialDeepStrictEqual(probe.httpGet, { port: 'http' });
    for (const probe of probes(secure) as { httpGet: object }[]) {
      assert.partialDeepStrictEqual(probe.httpGet, { port: 'https', scheme: 'HTTPS' });
    }
    assert.partialDeepStrictEqual(secure.ports, [{ name: 'https', containerPort: 8000 }]);
  });

  it('requests more with a network, by its precision, unless told what it gets', () => {
    const memory = (input: R2RDeploymentSpecInput['router']) => router(input).resources.requests?.memory;
    assert.deepEqual([{}, { checkpoint: { uri } }, { checkpoint: { uri }, precision: 'fp32' as const }].map(memory), [
      '512Mi',
      '1Gi',
      '1536Mi',
    ]);
    const resources = { requests: { memory: '3Gi' } };
    assert.deepEqual(router({ checkpoint: { uri }, resources }).resources, resources);
  });

  it('has a GPU, and the pod tolerates its taint, where the network runs on one', () => {
    const resources = { limits: { memory: '4Gi' } };
    const { containers, tolerations } = slm({ checkpoint: { uri }, device: 'cuda', resources });
    assert.deepEqual(containers[0]!.resources, { limits: { 'nvidia.com/gpu': '1', memory: '4Gi' } });
    assert.deepEqual(tolerations, [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }]);
    assert.deepEqual(router({ device: 'cuda' }).resources.limits, { 'nvidia.com/gpu': '1' });
  });

  it('alone mounts the claim of a checkpoint, read-only, where routers look for it', () => {
    const deployment = stored('tiny', { ...pair(), router: { checkpoint: { uri: 'pvc://routers/r1/a.pt' } } });
    const { containers, initContainers, volumes } = workload(render(deployment), 'slm').spec.template.spec;
    assert.ok(volumes.some(({ name }) => name === 'model-routers'));
    const mount = { name: 'model-routers', mountPath: '/models/routers', readOnly: true };
    assert.deepEqual(containers[0]!.volumeMounts[0], mount);
    assert.ok(initContainers![0]!.volumeMounts.every(({ name }) => name !== mount.name));
    assert.deepEqual(routerConfig(deployment).checkpoint, { uri: 'pvc://routers/r1/a.pt' });
  });

  it('mounts a claim that holds models and the checkpoint once', () => {
    const objects = render(
      stored('tiny', { ...pair({ model: 'pvc://weights/a' }), router: { checkpoint: { uri: 'pvc://weights/b.pt' } } }),
    );
    const { volumes, containers } = workload(objects, 'slm').spec.template.spec;
    assert.equal(volumes.filter(({ persistentVolumeClaim }) => persistentVolumeClaim !== undefined).length, 1);
    assert.equal(containers[0]!.volumeMounts.filter(({ name }) => name === 'model-weights').length, 1);
  });
});

describe('the endpoint Service', () => {
  const deployment = (tls?: object) => stored('tiny', { ...pair(), ...(tls && { api: { tls: { secretName: 'pair' } } }) });
  const servicePorts = (schemes: readonly ('http' | 'https')[]) =>
    (endpointService(deployment({}), 'aaaaaaaa', new Set(schemes)).spec as { ports: { name: string; port: number }[] }).ports;

  it('listens on 443 with TLS, and on 80 without', () => {
    assert.partialDeepStrictEqual(servicePorts(['http']), [{ name: 'http', port: 80, targetPort: 'http' }]);
    assert.partialDeepStrictEqual(servicePorts(['https']), [{ name: 'https', port: 443, targetPort: 'https' }]);
  });

  it('listens on both while pods of both kinds are there, each leading to those that speak it', () => {
    const ports = [
      { name: 'http', port: 80, targetPort: 'http' },
      { name: 'https', port: 443, targetPort: 'https' },
    ];
    assert.partialDeepStrictEqual(servicePorts(['https', 'http']), ports);
  });
});

describe('the LLM pod', () => {
  const pod = (llm: Partial<R2RDeploymentSpecInput['llm']> = {}) =>
    workload(render(stored('tiny', pair({}, llm))), 'llm').spec.template.spec;

  it('has two GPUs unless told otherwise, and tolerates their taint', () => {
    const { containers, tolerations } = pod();
    assert.deepEqual(containers[0]!.resources, { limits: { 'nvidia.com/gpu': '2' } });
    assert.equal(flag(containers[0]!.args, '--tp-size'), '2');
    assert.deepEqual(tolerations, [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }]);
  });

  it('has as many GPUs as the model is split over, beside the resources of the spec', () => {
    const { containers } = pod({ tensorParallelSize: 4, resources: { requests: { cpu: 8 }, limits: { memory: '64Gi' } } });
    assert.deepEqual(containers[0]!.resources, { requests: { cpu: '8' }, limits: { memory: '64Gi', 'nvidia.com/gpu': '4' } });
  });

  it('has neither GPU nor shared memory on the CPU engine, and runs our image', () => {
    const { containers, volumes, tolerations } = pod({ engine: 'CPU' });
    assert.deepEqual(containers[0]!.resources, {});
    assert.equal(containers[0]!.image, options.routerImage);
    assert.equal(containers[0]!.args[0], 'engine');
    assert.deepEqual(
      volumes.map(({ name }) => name),
      ['tmp'],
    );
    assert.equal(tolerations, undefined);
  });

  it('has no service account token', () => {
    const { automountServiceAccountToken, volumes } = pod();
    assert.equal(automountServiceAccountToken, false);
    assert.ok(volumes.every(({ projected }) => projected === undefined));
  });

  it('lets extra arguments override what may be tuned and nothing else', () => {
    const extraArgs = ['--cuda-graph-bs-prefill', '2', '--hos', '0.0.0.0', '--page-siz', '64'];
    const { args } = pod({ extraArgs, memFractionStatic: 0.8, contextLength: 4096 }).containers[0]!;
    assert.ok(args.lastIndexOf('--cuda-graph-bs-prefill') < args.indexOf('--hos'));
    assert.deepEqual(args.slice(args.indexOf('--cuda-graph-bs-prefill', 1), args.indexOf('--hos')), ['--cuda-graph-bs-prefill', '2']);
    // argparse accepts abbreviations, but the last one wins
    assert.ok(args.indexOf('--host') > args.indexOf('--hos') && args.indexOf('--page-size') > args.indexOf('--page-siz'));
    assert.equal(flag(args, '--mem-fraction-static'), '0.8');
    assert.equal(flag(args, '--context-length'), '4096');
  });

  it('writes nowhere but into its own empty volumes', () => {
    const { containers, volumes } = pod();
    const { env = [], volumeMounts } = containers[0]!;
    const writable = volumeMounts.filter(({ name }) => volumes.some((each) => each.name === name && each.emptyDir !== undefined));
    const folders = env.filter(({ name, value }) => value?.startsWith('/') && name !== 'PATH');
    assert.ok(folders.length >= 8);
    for (const { name, value } of folders) {
      assert.ok(
        writable.some(({ mountPath }) => value === mountPath || value?.startsWith(`${mountPath}/`)),
        `${name}=${value ?? ''} is on the read-only root file system`,
      );
    }
  });
});

describe('every container', () => {
  it('satisfies the restricted pod security standard and keeps its last words', () => {
    for (const file of ['r2rdeployment.yaml', 'r2rdeployment-secured.yaml', 'r1-1.5b-32b.yaml']) {
      for (const role of ['slm', 'llm'] as const) {
        const { containers, initContainers = [], ...spec } = workload(render(example(file)), role).spec.template.spec;
        assert.deepEqual(spec.securityContext, {
          runAsNonRoot: true,
          runAsUser: 10001,
          runAsGroup: 10001,
          seccompProfile: { type: 'RuntimeDefault' },
        });
        for (const { securityContext, terminationMessagePolicy } of [...containers, ...initContainers]) {
          assert.deepEqual(securityContext, {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          });
          assert.equal(terminationMessagePolicy, 'FallbackToLogsOnError');
        }
      }
    }
  });
});

describe('a pod overlay of the spec', () => {
  it('reaches containers by name and labels beside those of the operator', () => {
    const podTemplate = {
      metadata: { labels: { team: 'a', 'r2r.dev/revision': 'mine' }, annotations: { note: 'b' } },
      spec: {
        containers: [{ name: 'router', env: [{ name: 'NODE_OPTIONS', value: '--max-old-space-size=512' }] }],
        initContainers: [{ name: 'engine', command: ['/opt/python', '-m', 'sglang.launch_server'] }],
      },
    };
    const deployment = stored('tiny', pair({ podTemplate }));
    const { metadata, spec } = workload(render(deployment), 'slm').spec.template;
    assert.equal(metadata.labels.team, 'a');
    assert.equal(metadata.labels['r2r.dev/revision'], revisionOf(deployment.spec));
    assert.deepEqual(metadata.annotations, { 'kubectl.kubernetes.io/default-container': 'router', note: 'b' });
    assert.equal(spec.containers[0]!.env!.at(-1)!.name, 'NODE_OPTIONS');
    assert.deepEqual(spec.initContainers![0]!.command, ['/opt/python', '-m', 'sglang.launch_server']);
    assert.equal(spec.initContainers![0]!.restartPolicy, 'Always');
  });

  const broken: readonly (readonly [string, object, RegExp])[] = [
    [
      'removes the router',
      { containers: [{ name: 'router', $patch: 'delete' }] },
      /^spec\.slm\.podTemplate\.spec\.containers: must not remove the container "router"$/,
    ],
    ['removes the engine', { initContainers: [{ name: 'engine', $patch: 'delete' }] }, /initContainers: must leave the container "engine"/],
    ['makes the engine an ordinary init container', { initContainers: [{ name: 'engine', restartPolicy: null }] }, /restartPolicy: Always/],
    ['has a container without a name', { containers: [{ image: 'a' }] }, /^spec\.slm\.podTemplate\.spec\.containers\[0\]: needs "name"/],
  ];
  for (const [what, spec, message] of broken) {
    it(`is refused when it ${what}, naming the field`, () => {
      const deployment = stored('tiny', pair({ podTemplate: { spec: { ...spec } } }));
      assert.throws(
        () => podTemplates(deployment, options),
        (error) => error instanceof OverlayError && message.test(error.message),
      );
    });
  }
});
