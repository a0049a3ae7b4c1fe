import assert from 'node:assert/strict';
import OpenAI from 'openai';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import type { Pod } from '../../src/kube/resources.ts';
import { portForward } from '../../tools/demo/port-forward.ts';
import { underLoad } from './steady-load.ts';
import { example, operatorEnvironment, operatorNamespace } from './operator-environment.ts';
import type { Environment } from './operator-environment.ts';
import { until } from '../cluster/progress.ts';
import { whyNoCluster } from '../cluster/shared.ts';

interface List<T> {
  readonly items: readonly T[];
}

interface AnyObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly uid: string; readonly generation?: number };
}

const namespace = 'r2r-e2e';
const name = 'tiny';
const childKinds = 'deployments,services,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,controllerrevisions';
const mine = ['--namespace', namespace, '--selector', `app.kubernetes.io/instance=${name},app.kubernetes.io/managed-by=r2r-operator`];

describe('an R2RDeployment on a real node', function () {
  this.timeout(300_000);
  let env: Environment;

  before(async function () {
    this.timeout(1_800_000);
    // the load goes to the Service's address, which only the local cluster's host can reach
    if (whyNoCluster() !== undefined || process.env.R2R_TEST_CONTEXT) this.skip();
    env = await operatorEnvironment();
    await env.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--timeout=120s'], { timeoutMs: 130_000 });
    await env.cluster.kubectl(['create', 'namespace', namespace]);
    await env.apply(example(namespace, name));
    await env.condition(namespace, name, 'Ready', { status: 'True' }, 240_000);
  });

  const children = (): Promise<List<AnyObject>> => env.get<List<AnyObject>>(childKinds, ...mine);
  const pods = async (): Promise<readonly Pod[]> => (await env.get<List<Pod>>('pods', ...mine)).items;
  const podNames = async (): Promise<string[]> => (await pods()).map(({ metadata }) => metadata?.name ?? '').sort();
  const chat = async (body: object = {}) => {
    await using forward = await portForward(env.cluster, namespace, `service/${name}`, 80);
    const client = new OpenAI({ baseURL: `${forward.url}/v1`, apiKey: 'none', maxRetries: 3 });
    return await client.chat.completions.create({
      model: name,
      messages: [{ role: 'user', content: 'Start with 12. Add 30. What is the result?' }],
      max_completion_tokens: 40,
      ...body,
    });
  };

  it('answers a chat request with tokens of both models', async () => {
    const answer = await chat({ r2r: { threshold: 0.05 } });
    const { llm_ratio: ratio } = answer as typeof answer & { llm_ratio: number };
    assert.ok(answer.usage && answer.usage.completion_tokens > 0);
    assert.ok(ratio > 0 && ratio < 1, `llm_ratio ${ratio}`);
  });

  it('is told truly by kubectl get', async () => {
    const table = await env.cluster.kubectl(['get', 'r2r', name, '--namespace', namespace]);
    const [head = '', row = ''] = table.trim().split('\n');
    assert.match(head, /^NAME\s+READY\s+SLM\s+LLM\s+LLM%\s+TOK\/S\s+AGE$/);
    assert.match(row, /^tiny\s+True\s+1\/1\s+2\/2\s/);
    const numbers = await until(
      'routing numbers in the status',
      60_000,
      async () => (await env.deployment(namespace, name)).status?.routing,
    );
    assert.ok(numbers.ratio > 0 && numbers.averageActivatedParams && numbers.averageActivatedParams > 1000);
  });

  it('brings back each child within 5 s of its deletion', async () => {
    for (const { kind, metadata } of (await children()).items) {
      await env.cluster.kubectl(['delete', kind, metadata.name, '--namespace', namespace, '--wait=false']);
      await until(`${kind} ${metadata.name} is back`, 5_000, async () => {
        const again = await env.get<AnyObject>(kind, metadata.name, '--namespace', namespace);
        return again.metadata.uid !== metadata.uid;
      });
    }
    await env.condition(namespace, name, 'Ready', { status: 'True' }, 120_000);
    await until('every replica is ready again', 120_000, async () => {
      const { status } = await env.deployment(namespace, name);
      return status?.summary?.slm === '1/1' && status.summary.llm === '2/2';
    });
  });

  it('reverts what was edited by hand', async () => {
    const { revision } = (await env.deployment(namespace, name)).status ?? {};
    const edits = [
      [
        'deployment',
        `${name}-${revision?.serving}-llm`,
        { spec: { replicas: 0 } },
        (live: R2RDeployment) => JSON.stringify(live.spec).includes('"replicas":2'),
      ],
      [
        'service',
        name,
        { spec: { selector: { 'r2r.dev/revision': 'nowhere' } } },
        (live: object) => !JSON.stringify(live).includes('nowhere'),
      ],
      [
        'configmap',
        `${name}-${revision?.serving}-router`,
        { data: { 'router.json': '{}' } },
        (live: object) => JSON.stringify(live).includes('modelName'),
      ],
    ] as const;
    for (const [kind, child, patch, isRight] of edits) {
      await env.cluster.kubectl(['patch', kind, child, '--namespace', namespace, '--type=merge', '--patch', JSON.stringify(patch)]);
      await until(`${kind} ${child} is as it was`, 5_000, async () =>
        isRight(await env.get<R2RDeployment>(kind, child, '--namespace', namespace)),
      );
    }
    await env.condition(namespace, name, 'Ready', { status: 'True' }, 120_000);
  });

  it('takes a new threshold over without restarting a pod', async () => {
    // pods of an earlier test may still be draining
    await until('three pods, none of them ending', 120_000, async () => (await podNames()).length === 3);
    const before = await podNames();
    await env.patch(namespace, name, { spec: { router: { threshold: 0.123 } } });
    await until(
      'the routers run the new threshold',
      30_000,
      async () => (await env.deployment(namespace, name)).status?.router?.threshold === 0.123,
    );
    assert.deepEqual(await podNames(), before);
  });

  it('follows kubectl scale', async () => {
    const scale = async (replicas: number): Promise<void> => {
      await env.cluster.kubectl(['scale', 'r2r', name, '--namespace', namespace, `--replicas=${replicas}`]);
      await until(`${replicas} LLM replicas`, 120_000, async () => {
        const { status } = await env.deployment(namespace, name);
        return status?.summary?.llm === `${replicas}/${replicas}` && status.llm?.replicas === replicas;
      });
    };
    await scale(3);
    await scale(2);
  });

  it('says within 30 s that an image does not exist, keeps serving, and heals when the spec does', async () => {
    await env.patch(namespace, name, { spec: { llm: { image: 'registry.invalid/no/such:image' } } });
    const condition = await env.condition(namespace, name, 'Ready', { status: 'False', reason: /ImagePull|ErrImage/ }, 30_000);
    assert.match(condition.message, /registry\.invalid\/no\/such:image/);
    assert.ok((await chat()).choices.length === 1, 'the old revision goes on answering');
    await env.patch(namespace, name, { spec: { llm: { image: null } } });
    await env.condition(namespace, name, 'Ready', { status: 'True' }, 120_000);
  });

  it('says within 30 s that a model path does not exist, keeps serving, and heals when the spec does', async () => {
    const { model } = (await env.deployment(namespace, name)).spec.llm;
    await env.patch(namespace, name, { spec: { llm: { model: '/no/such/model' } } });
    const condition = await env.condition(namespace, name, 'Ready', { status: 'False', reason: /CrashLoopBackOff/ }, 30_000);
    assert.match(condition.message, /\/no\/such\/model/);
    assert.ok((await chat()).choices.length === 1, 'the old revision goes on answering');
    await env.patch(namespace, name, { spec: { llm: { model } } });
    await env.condition(namespace, name, 'Ready', { status: 'True' }, 120_000);
  });

  it('finishes a roll-out whose operator is killed, with every request answered on the first try', async () => {
    const before = (await env.deployment(namespace, name)).status?.revision?.serving;
    const lease = async (): Promise<string> =>
      (await env.get<{ spec: { holderIdentity: string } }>('lease', 'r2r-operator', '--namespace', operatorNamespace)).spec.holderIdentity;
    const leader = (await lease()).split('_')[0] ?? '';
    const { clusterIP } = (await env.get<{ spec: { clusterIP: string } }>('service', name, '--namespace', namespace)).spec;
    const body = { model: name, messages: [{ role: 'user', content: 'Start with 12. Add 30. What is the result?' }], max_tokens: 20 };
    const load = await underLoad(`http://${clusterIP}/v1/chat/completions`, body, async () => {
      await env.patch(namespace, name, { spec: { slm: { contextLength: 256 } } });
      await until('the roll-out has begun', 30_000, async () => (await podNames()).length > 3);
      await env.cluster.kubectl(['delete', 'pod', leader, '--namespace', operatorNamespace, '--grace-period=0', '--force']);
      await env.condition(namespace, name, 'Ready', { status: 'True' }, 240_000);
      assert.notEqual((await lease()).split('_')[0], leader, 'another replica leads');
      await until('nothing of the old revision is left', 120_000, async () => {
        const { items } = await children();
        return items.every(({ metadata }) => !metadata.name.includes(before ?? 'none')) && (await podNames()).length === 3;
      });
    });
    assert.deepEqual(load.failures, []);
    assert.ok(load.answered > 20, `${load.answered} requests`);
  });

  it('leaves nothing behind when it is deleted', async () => {
    await env.cluster.kubectl(['delete', 'r2r', name, '--namespace', namespace, '--wait=true', '--timeout=60s']);
    await until('no child is left', 120_000, async () => (await children()).items.length === 0 && (await pods()).length === 0);
  });

  after(async () => {
    await (env as Environment | undefined)?.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--wait=false']);
  });
});
