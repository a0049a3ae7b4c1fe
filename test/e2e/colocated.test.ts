/** A whole unit in one real pod: the router, and both CPU engines under one launcher. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { findCondition } from '../../src/api/conditions.ts';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import type { Pod } from '../../src/kube/resources.ts';
import { portForward } from '../../tools/demo/port-forward.ts';
import { namespaced, type Namespace } from '../cluster/namespace.ts';
import { until } from '../cluster/progress.ts';
import { whyNoCluster } from '../cluster/shared.ts';
import { operatorEnvironment } from './operator-environment.ts';
import type { Environment } from './operator-environment.ts';

const base = parse(readFileSync(join(import.meta.dirname, '../../examples/r2rdeployment-colocated.yaml'), 'utf8')) as R2RDeployment;
const { name } = base.metadata;

type EngineStatus = NonNullable<NonNullable<Pod['status']>['initContainerStatuses']>[number];

describe('a Colocated R2RDeployment on a real node', function () {
  this.timeout(120_000);
  let env: Environment;
  let namespace: Namespace;

  before(async function () {
    this.timeout(1_800_000);
    if (whyNoCluster() !== undefined) this.skip();
    env = await operatorEnvironment();
    namespace = await namespaced(env.cluster, 'unit');
    await namespace.apply({ ...base, metadata: { name, namespace: namespace.name } });
  });
  after(async () => {
    await (namespace as Namespace | undefined)?.remove();
  });

  const pods = async (): Promise<readonly Pod[]> => {
    const selector = `app.kubernetes.io/instance=${name},app.kubernetes.io/managed-by=r2r-operator`;
    return (await env.get<{ items: readonly Pod[] }>('pods', ...namespace.flags, '--selector', selector)).items;
  };
  const unit = async (): Promise<Pod> => {
    const [pod, ...others] = await pods();
    assert.ok(pod && others.length === 0, `${others.length + 1} pods`);
    return pod;
  };
  const engine = async (): Promise<EngineStatus> => {
    const status = (await unit()).status?.initContainerStatuses?.find((each) => each.name === 'engine');
    assert.ok(status, 'the pod has an engine');
    return status;
  };
  const exec = async (script: string): Promise<string> =>
    namespace.kubectl(['exec', (await unit()).metadata?.name ?? '', '--container=engine', '--', 'sh', '-c', script]);
  /** Process of the engine that serves under this name; the launcher, process 1, has both names in its argument, and the bracket keeps this very script from being found. */
  const processOf = (role: 'slm' | 'llm'): string =>
    `for p in /proc/[0-9]*; do [ "$p" = /proc/1 ] && continue; tr '\\0' ' ' < $p/cmdline | grep -q -- '--served-model-nam[e] ${role} ' && basename $p; done; true`;
  const isReady = (timeoutMs: number): Promise<unknown> => env.condition(namespace.name, name, 'Ready', { status: 'True' }, timeoutMs);
  const answered = async (): Promise<{ readonly sources: { readonly slm: number; readonly llm: number }; readonly degraded: boolean }> => {
    await using forward = await portForward(env.cluster, namespace.name, `service/${name}`, 80);
    const answer = await fetch(`${forward.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: name,
        messages: [{ role: 'user', content: 'Start with 12. Add 30. What is the result?' }],
        max_tokens: 40,
        r2r: { threshold: 0.05 },
      }),
    });
    const { r2r } = (await answer.json()) as { r2r: { token_counts: { slm: number; llm: number }; degraded?: boolean } };
    return { sources: r2r.token_counts, degraded: r2r.degraded === true };
  };

  it('becomes Ready as one pod with two containers, and answers with tokens of both models', async () => {
    await isReady(90_000);
    const { spec, status } = await unit();
    assert.deepEqual(
      [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].map((each) => each.name),
      ['engine', 'router'],
    );
    assert.ok(status?.containerStatuses?.every(({ ready }) => ready));
    const { sources, degraded } = await answered();
    assert.ok(sources.slm > 0 && sources.llm > 0, JSON.stringify(sources));
    assert.equal(degraded, false);
    const table = await namespace.kubectl(['get', 'r2r', name]);
    assert.match(table, /^tiny-unit\s+True\s+1\/1\s+1\/1\s/m);
  });

  it('started the LLM when the SLM was ready', async () => {
    const log = await namespace.kubectl(['logs', (await unit()).metadata?.name ?? '', '--container=engine']);
    const lines = log.split('\n').flatMap((line) => /launcher: (starting \w+|\w+ is ready)/.exec(line)?.[1] ?? []);
    assert.deepEqual(lines, ['starting slm', 'slm is ready', 'starting llm', 'llm is ready']);
  });

  for (const role of ['llm', 'slm'] as const) {
    it(`starts both engines again, in order, when the ${role.toUpperCase()} is killed, and is Ready and answers again`, async () => {
      const { restartCount } = await engine();
      const pod = (await unit()).metadata?.uid;
      const pid = (await exec(processOf(role))).trim();
      assert.match(pid, /^\d+$/);
      await exec(`kill -9 ${pid}`);
      await until('the container has restarted', 30_000, async () => (await engine()).restartCount > restartCount);
      const last = (await engine()).lastState?.terminated;
      assert.equal(last?.exitCode, 1);
      assert.match(last.message ?? '', new RegExp(`launcher: engine ${role} ended with signal`));
      await until('the unit is ready again', 60_000, async () => (await engine()).ready);
      await isReady(30_000);
      const log = await namespace.kubectl(['logs', (await unit()).metadata?.name ?? '', '--container=engine']);
      assert.match(log, /starting slm[\s\S]*slm is ready[\s\S]*starting llm[\s\S]*llm is ready/);
      assert.equal((await unit()).metadata?.uid, pod, 'it is the same pod');
      const { sources } = await until('an answer of both models', 30_000, async () => {
        const answer = await answered();
        return answer.sources.llm > 0 && !answer.degraded && answer;
      });
      assert.ok(sources.slm > 0);
    });
  }

  it('refuses a second LLM, and scales whole units', async () => {
    await assert.rejects(namespace.kubectl(['scale', 'r2r', name, '--replicas=2']), /llm\.replicas: with placement Colocated/);
    await env.patch(namespace.name, name, { spec: { slm: { replicas: 2 } } });
    await until('two units', 60_000, async () => (await env.deployment(namespace.name, name)).status?.summary?.llm === '2/2');
    assert.equal(findCondition((await env.deployment(namespace.name, name)).status?.conditions, 'LLMReady')?.status, 'True');
  });
});
