/** Roll-outs in place, and a suspension, on real pods and under load. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { findCondition } from '../../src/api/conditions.ts';
import type { Pod } from '../../src/kube/resources.ts';
import { until } from '../cluster/progress.ts';
import { whyNoCluster } from '../cluster/shared.ts';
import { example, operatorEnvironment } from './operator-environment.ts';
import type { Environment } from './operator-environment.ts';
import { underLoad } from './steady-load.ts';
import type { Load } from './steady-load.ts';

const namespace = 'r2r-e2e-rollouts';
const name = 'tiny';
const mine = ['--namespace', namespace, '--selector', `app.kubernetes.io/instance=${name},app.kubernetes.io/managed-by=r2r-operator`];

/** What a client gets where nothing listens: it has never reached a router. */
const notReached = /ECONNREFUSED|UND_ERR_CONNECT_TIMEOUT|EHOSTUNREACH/;

describe('roll-outs on a real node', function () {
  this.timeout(170_000);
  let env: Environment;
  let url: string;

  before(async function () {
    this.timeout(1_800_000);
    // the load goes to the Service's address, which only the local cluster's host can reach
    if (whyNoCluster() !== undefined || process.env.R2R_TEST_CONTEXT) this.skip();
    env = await operatorEnvironment();
    await env.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--timeout=120s'], { timeoutMs: 130_000 });
    await env.cluster.kubectl(['create', 'namespace', namespace]);
    const deployment = example(namespace, name, { llm: { replicas: 1 } });
    await env.apply({ ...deployment, spec: { ...deployment.spec, rollout: { strategy: 'InPlace' } } });
    await env.condition(namespace, name, 'Ready', { status: 'True' }, 240_000);
    const { clusterIP } = (await env.get<{ spec: { clusterIP: string } }>('service', name, '--namespace', namespace)).spec;
    url = `http://${clusterIP}/v1/chat/completions`;
  });

  after(async () => {
    await (env as Environment | undefined)?.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--wait=false']);
  });

  const pods = async (): Promise<readonly Pod[]> => (await env.get<{ items: readonly Pod[] }>('pods', ...mine)).items;
  const revisionsOfPods = async (): Promise<ReadonlySet<string>> =>
    new Set((await pods()).map(({ metadata }) => metadata?.labels?.['r2r.dev/revision'] ?? ''));
  const body = {
    model: name,
    messages: [{ role: 'user', content: 'Start with 12. Add 30. Subtract 5. Double it. What is the result?' }],
    max_tokens: 80,
    n: 2,
  };
  /** Three clients at once: their first requests are in flight when `during` begins. */
  const underSteadyLoad = async (during: () => Promise<void>): Promise<Load> => {
    const over = Promise.withResolvers<undefined>();
    const others = [1, 2].map(() => underLoad(url, body, () => over.promise));
    const first = underLoad(url, body, during).finally(() => {
      over.resolve(undefined);
    });
    const loads = await Promise.all([first, ...others]);
    return {
      answered: loads.reduce((sum, { answered }) => sum + answered, 0),
      failures: loads.flatMap(({ failures }) => failures),
    };
  };
  const assertNoneCutOff = ({ answered, failures }: Load): void => {
    assert.deepEqual(
      failures.filter((failure) => !notReached.test(failure)),
      [],
    );
    assert.ok(answered >= 3, `${answered} requests`);
  };

  it('replaces the pods in place: requests in flight finish, the gap is told, revisions never mix', async () => {
    const before = (await env.deployment(namespace, name)).status?.revision?.serving ?? '';
    const reasons = new Set<string>();
    const mixed: string[] = [];
    const load = await underSteadyLoad(async () => {
      await env.patch(namespace, name, { spec: { slm: { contextLength: 256 } } });
      await until('the new revision answers alone', 150_000, async () => {
        const revisions = await revisionsOfPods();
        if (revisions.size > 1) mixed.push([...revisions].join());
        const { metadata, status } = await env.deployment(namespace, name);
        const ready = findCondition(status?.conditions, 'Ready');
        if (ready?.observedGeneration === metadata.generation) reasons.add(`${ready?.status} ${ready?.reason}`);
        const reconciling = findCondition(status?.conditions, 'Reconciling');
        return ready?.status === 'True' && reconciling?.status === 'False' && status?.revision?.serving !== before;
      });
    });
    assert.deepEqual(mixed, []);
    assert.ok(reasons.has('False RecreateGap'), [...reasons].join());
    assertNoneCutOff(load);
    assert.ok(load.failures.length > 0, 'nothing answers in the gap, which is what the condition says');
  });

  it('is followed by kubectl r2r rollout status', async () => {
    const program = join(import.meta.dirname, '../../src/cli/kubectl-r2r.ts');
    const kubeconfig = env.cluster.kubeconfig ?? '';
    const args = [
      'rollout',
      'status',
      name,
      '-n',
      namespace,
      '--kubeconfig',
      kubeconfig,
      '--context',
      env.cluster.context,
      '--timeout=60s',
    ];
    const child = spawn(process.execPath, [program, ...args]);
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    assert.equal(code, 0, said);
    assert.match(said, /r2rdeployment "tiny" successfully rolled out/);
  });

  it('is suspended after the requests in flight, and comes back', async () => {
    const load = await underSteadyLoad(async () => {
      await env.patch(namespace, name, { spec: { suspend: true } });
      await until('no pod is left', 90_000, async () => (await pods()).length === 0);
      await env.condition(namespace, name, 'Ready', { status: 'True', reason: /^Suspended$/ }, 30_000);
    });
    assertNoneCutOff(load);
    await env.get('service', name, '--namespace', namespace);
    await env.patch(namespace, name, { spec: { suspend: false } });
    await env.condition(namespace, name, 'Ready', { status: 'True', reason: /^Serving$/ }, 120_000);
    await until('an answer', 30_000, async () => {
      const headers = { 'content-type': 'application/json' };
      return (await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) })).ok;
    });
  });
});
