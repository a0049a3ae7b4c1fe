/** Pods of placement Colocated, and of an LLM that spans nodes. */
import assert from 'node:assert/strict';
import { enginePlanSchema, type EnginePlan } from '../../src/api/engine-plan.ts';
import { labels, revisionNames, selectorLabels } from '../../src/api/names.ts';
import { maxNameLength } from '../../src/api/r2rdeployment.ts';
import type { R2RDeploymentSpecInput } from '../../src/api/r2rdeployment.ts';
import { revisionOf, templateKey } from '../../src/api/revision.ts';
import { OverlayError, podTemplates } from '../../src/manifests/index.ts';
import { stored } from '../api/deployments.ts';
import { assertGolden } from './golden.ts';
import { example, options, render, workload } from './rendering.ts';

type Slm = Partial<R2RDeploymentSpecInput['slm']>;
type Llm = Partial<R2RDeploymentSpecInput['llm']>;

const pair = (slm: Slm = {}, llm: Llm = {}): R2RDeploymentSpecInput => ({
  slm: { model: 'pvc://weights/slm', ...slm },
  llm: { model: '/models/llm', ...llm },
});
const unit = (slm: Slm = {}, llm: Llm = {}) => stored('tiny', { placement: 'Colocated', ...pair(slm, llm) });
const withoutRecord = (objects: ReturnType<typeof render>) => objects.filter(({ kind }) => kind !== 'ControllerRevision');

/** The value behind the last occurrence of a flag, which is what argparse takes. */
function flag(args: readonly string[], name: string): string | undefined {
  const at = args.lastIndexOf(name);
  return at < 0 ? undefined : args[at + 1];
}

describe('a Colocated unit', () => {
  const pod = (deployment = unit()) => workload(render(deployment), 'slm').spec.template.spec;
  const engine = (deployment = unit()) => pod(deployment).initContainers![0]!;
  const plan = (deployment = unit()): EnginePlan => enginePlanSchema.parse(JSON.parse(engine(deployment).args.at(-1)!));
  const engines = (deployment = unit()) => {
    const [slm, llm] = plan(deployment).engines;
    return { slm: slm!, llm: llm! };
  };

  it('is that of the golden file for R1 1.5B and 32B on two GPUs', () => {
    assertGolden('r1-1.5b-32b-colocated.yaml', withoutRecord(render(example('r1-1.5b-32b-colocated.yaml'))));
  });

  it('is that of the golden file for the tiny pair on the CPU engine', () => {
    assertGolden('tiny-cpu-colocated.yaml', withoutRecord(render(example('r2rdeployment-colocated.yaml'))));
  });

  it('is one pod, and no other child has to do with an LLM', () => {
    const children = render(unit()).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    const { slm, router } = revisionNames('tiny', revisionOf(unit().spec));
    assert.deepEqual(children.slice(1), [
      `ServiceAccount ${router}`,
      `Role ${router}`,
      `RoleBinding ${router}`,
      `ConfigMap ${router}`,
      `NetworkPolicy ${slm}`,
      `PodDisruptionBudget ${slm}`,
      `Deployment ${slm}`,
      'Service tiny',
    ]);
  });

  it('lets its router watch the ConfigMap alone: there are no endpoints to look for', () => {
    const role = render(unit()).find(({ kind }) => kind === 'Role') as unknown as { rules: { resources: string[] }[] };
    assert.deepEqual(
      role.rules.flatMap(({ resources }) => resources),
      ['configmaps'],
    );
    const { args } = pod().containers[0]!;
    assert.equal(flag(args, '--llm-url'), 'http://$(POD_IP):30001');
    assert.equal(flag(args, '--launcher-url'), 'http://$(POD_IP):30002');
    assert.ok(!args.includes('--llm-service'));
  });

  it('has the GPUs of its LLM in one container, the last of them for the SLM too', () => {
    assert.deepEqual(engine().resources.limits, { 'nvidia.com/gpu': '2' });
    assert.equal(engines().slm.env.CUDA_VISIBLE_DEVICES, '1');
    assert.equal(engines().llm.env.CUDA_VISIBLE_DEVICES, '0,1');
    assert.deepEqual(pod().tolerations, [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }]);
    const four = unit({ tensorParallelSize: 2 }, { tensorParallelSize: 4 });
    assert.deepEqual(engine(four).resources.limits, { 'nvidia.com/gpu': '4' });
    assert.equal(engines(four).slm.env.CUDA_VISIBLE_DEVICES, '2,3');
    assert.equal(engines(four).llm.env.CUDA_VISIBLE_DEVICES, '0,1,2,3');
  });

  it('keeps SGLang from refusing GPUs of which one has less free memory', () => {
    assert.equal(engines().llm.env.SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK, 'false');
    assert.equal(engines().slm.env.SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK, undefined);
  });

  it('starts the SLM first, with 0.15 and 0.8 of the memory until better is known, or with what the spec says', () => {
    const { slm, llm } = engines();
    assert.deepEqual(
      plan().engines.map(({ name }) => name),
      ['slm', 'llm'],
    );
    assert.deepEqual(
      [slm, llm].map(({ command }) => flag(command, '--mem-fraction-static')),
      ['0.15', '0.8'],
    );
    assert.deepEqual(
      [slm.memory, llm.memory],
      [
        { model: '/models/weights/slm', gpus: 1, fixed: false },
        { model: '/models/llm', gpus: 2, fixed: false },
      ],
    );
    const told = engines(unit({ memFractionStatic: 0.3 }, { memFractionStatic: 0.65 }));
    assert.deepEqual(
      [told.slm, told.llm].map(({ command }) => flag(command, '--mem-fraction-static')),
      ['0.3', '0.65'],
    );
    assert.ok(told.slm.memory?.fixed && told.llm.memory?.fixed);
  });

  it('gives each engine the arguments that it has in a pod of its own, at a port of its own', () => {
    const apart = render(
      stored('tiny', pair({ memFractionStatic: 0.15, extraArgs: ['--x'] }, { memFractionStatic: 0.8, contextLength: 4096 })),
    );
    const { slm, llm } = engines(unit({ extraArgs: ['--x'] }, { contextLength: 4096 }));
    const own = (role: 'slm' | 'llm') => {
      const { initContainers = [], containers } = workload(apart, role).spec.template.spec;
      const container = [...initContainers, ...containers].find(({ name }) => name === 'engine')!;
      return [...container.command!, ...container.args];
    };
    assert.deepEqual(slm.command, own('slm'));
    assert.deepEqual(
      llm.command,
      own('llm').map((argument) => (argument === '30000' ? '30001' : argument)),
    );
    for (const { url, command } of [slm, llm]) assert.equal(url, `http://$(POD_IP):${flag(command, '--port')}`);
  });

  it('has a launcher that Kubernetes leaves as it is: no $ in it', () => {
    const [python, option, script] = engine().command!;
    assert.deepEqual([python, option], ['python3', '-c']);
    assert.doesNotMatch(script!, /\$/);
    assert.match(script!, /^# Starts two model servers one after the other/);
  });

  it('is probed at its launcher, whose start is not that of the engines, so that the router can tell of them', () => {
    const probes = engine() as unknown as Record<string, { httpGet: object; failureThreshold: number; periodSeconds: number }>;
    assert.deepEqual(probes.readinessProbe!.httpGet, { path: '/ready', port: 'launcher' });
    for (const probe of [probes.startupProbe!, probes.livenessProbe!])
      assert.deepEqual(probe.httpGet, { path: '/health', port: 'launcher' });
    assert.ok(probes.startupProbe!.failureThreshold * probes.startupProbe!.periodSeconds <= 120);
    assert.equal(plan().readyTimeoutSeconds, 20 * 60);
  });

  it('ends within its grace period: the router first, then one engine after the other', () => {
    const router = 5 + 540 + 1;
    assert.ok(router + 2 * plan().stopTimeoutSeconds < Number(pod().terminationGracePeriodSeconds));
  });

  it('is still a native sidecar, mounts what both engines read, and takes an overlay of the SLM pod', () => {
    const podTemplate = { spec: { initContainers: [{ name: 'engine', env: [{ name: 'NCCL_DEBUG', value: 'INFO' }] }] } };
    const { restartPolicy, volumeMounts, env } = engine(unit({ podTemplate }, { model: 'pvc://other/llm' }));
    assert.equal(restartPolicy, 'Always');
    assert.deepEqual(
      volumeMounts.map(({ mountPath }) => mountPath),
      ['/models/weights', '/models/other', '/tmp', '/home/r2r', '/dev/shm'],
    );
    assert.equal(env!.at(-1)!.name, 'NCCL_DEBUG');
    const broken = unit({ podTemplate: { spec: { initContainers: [{ name: 'engine', $patch: 'delete' }] } } });
    assert.throws(() => podTemplates(broken, options), OverlayError);
  });

  it('runs both CPU engines from our image, without GPUs or their memory', () => {
    const cpu = unit({ engine: 'CPU' }, { engine: 'CPU' });
    const { image, command, args, resources } = engine(cpu);
    assert.equal(image, options.routerImage);
    assert.equal(command, undefined);
    assert.equal(args[0], 'engines');
    assert.deepEqual(resources, {});
    assert.equal(pod(cpu).tolerations, undefined);
    const { slm, llm } = engines(cpu);
    assert.deepEqual(
      [slm, llm].map(({ command: [first, second], env, memory }) => [first, second, env, memory]),
      [
        ['r2r', 'engine', {}, undefined],
        ['r2r', 'engine', {}, undefined],
      ],
    );
  });

  it('is another revision, while leaving placement and nodes out is none', () => {
    const plain = stored('tiny', pair()).spec;
    assert.notEqual(revisionOf(unit().spec), revisionOf(plain));
    assert.notEqual(templateKey(unit().spec), templateKey(plain));
    const spelled = stored('tiny', { placement: 'Disaggregated', ...pair({}, { nodes: 1 }) }).spec;
    assert.deepEqual([revisionOf(spelled), templateKey(spelled)], [revisionOf(plain), templateKey(plain)]);
  });
});

describe('an LLM that spans nodes', () => {
  const spec = (llm: Llm = {}) => stored('tiny', pair({}, { nodes: 2, tensorParallelSize: 16, ...llm }));
  interface Group {
    readonly metadata: { readonly name: string; readonly labels: Record<string, string> };
    readonly spec: {
      readonly replicas: number;
      readonly startupPolicy: string;
      readonly leaderWorkerTemplate: {
        readonly size: number;
        readonly restartPolicy: string;
        readonly leaderTemplate: ReturnType<typeof workload>['spec']['template'];
        readonly workerTemplate: ReturnType<typeof workload>['spec']['template'];
      };
    };
  }
  const groupOf = (deployment = spec()) => render(deployment).find(({ kind }) => kind === 'LeaderWorkerSet') as unknown as Group;
  const templates = (deployment = spec()) => groupOf(deployment).spec.leaderWorkerTemplate;
  const containers = (deployment = spec()) => {
    const { leaderTemplate, workerTemplate } = templates(deployment);
    return { leader: leaderTemplate.spec.containers[0]!, worker: workerTemplate.spec.containers[0]! };
  };

  it('is that of the golden file for Qwen3 235B over two nodes', () => {
    assertGolden('qwen3-0.6b-235b-multinode.yaml', withoutRecord(render(example('qwen3-0.6b-235b-multinode.yaml'))));
  });

  it('is a LeaderWorkerSet in the place of the Deployment, of groups that are made anew when one of their pods restarts', () => {
    assert.equal(render(spec()).filter(({ kind }) => kind === 'Deployment').length, 1);
    const { replicas, startupPolicy, leaderWorkerTemplate } = groupOf(spec({ replicas: 3, nodes: 4 })).spec;
    assert.deepEqual([replicas, startupPolicy], [3, 'LeaderCreated']);
    assert.equal(leaderWorkerTemplate.size, 4);
    assert.equal(leaderWorkerTemplate.restartPolicy, 'RecreateGroupOnPodRestart');
  });

  it('has a name to which ordinals can be appended, and which is not that of our Service', () => {
    const name = 'a'.repeat(maxNameLength);
    const { group, llm } = revisionNames(name, revisionOf(spec().spec));
    // the longest name of a StatefulSet whose pods get a label with a hash appended; LWS appends -<replica>
    assert.ok(`${group}-99`.length <= 52);
    assert.notEqual(group, llm);
  });

  it('splits the model over all GPUs of the group, an equal share on each node, and finds its place by what LWS tells each pod', () => {
    const { leader, worker } = containers();
    for (const { args, resources } of [leader, worker]) {
      assert.equal(flag(args, '--tp-size'), '16');
      assert.equal(flag(args, '--nnodes'), '$(LWS_GROUP_SIZE)');
      assert.equal(flag(args, '--node-rank'), '$(LWS_WORKER_INDEX)');
      assert.equal(flag(args, '--dist-init-addr'), '$(LWS_LEADER_ADDRESS):30003');
      assert.equal(resources.limits?.['nvidia.com/gpu'], '8');
    }
    assert.deepEqual(leader.args, worker.args);
  });

  it('is ready when its leader is; workers serve nothing but their health', () => {
    const { leader, worker } = containers() as unknown as Record<string, Record<string, { httpGet: { path: string } }>>;
    assert.equal(leader!.readinessProbe!.httpGet.path, '/ready');
    for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) assert.equal(worker![probe]!.httpGet.path, '/health');
  });

  it('leads routers to leaders alone: workers are of another component', () => {
    const deployment = spec();
    const revision = revisionOf(deployment.spec);
    const { leaderTemplate, workerTemplate } = templates(deployment);
    assert.deepEqual(leaderTemplate.metadata.labels, labels('tiny', revision, 'llm'));
    const { llm } = revisionNames('tiny', revision);
    const service = render(deployment).find(({ kind, metadata }) => kind === 'Service' && metadata.name === llm);
    assert.deepEqual((service?.spec as { selector: object }).selector, selectorLabels('tiny', revision, 'llm'));
    assert.equal(workerTemplate.metadata.labels['app.kubernetes.io/component'], 'llm-worker');
    for (const [key, value] of Object.entries(labels('tiny', revision))) assert.equal(workerTemplate.metadata.labels[key], value);
  });

  it('gives the overlay to leader and workers', () => {
    const podTemplate = { metadata: { labels: { rack: 'a' } }, spec: { hostNetwork: true } };
    const { leaderTemplate, workerTemplate } = templates(spec({ podTemplate }));
    for (const { metadata, spec: pod } of [leaderTemplate, workerTemplate]) {
      assert.equal(metadata.labels.rack, 'a');
      assert.equal(pod.hostNetwork, true);
    }
  });

  it('is pinned with the size of its groups', () => {
    const record = render(spec()).find(({ kind }) => kind === 'ControllerRevision') as unknown as { data: { group: { size: number } } };
    assert.equal(record.data.group.size, 2);
    const plain = render(stored('tiny', pair())).find(({ kind }) => kind === 'ControllerRevision') as unknown as { data: object };
    assert.deepEqual(Object.keys(plain.data), ['slm', 'llm']);
  });
});
