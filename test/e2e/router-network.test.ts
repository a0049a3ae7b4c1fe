import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { findCondition } from '../../src/api/conditions.ts';
import { portForward } from '../../tools/demo/port-forward.ts';
import { until } from '../cluster/progress.ts';
import { whyNoCluster } from '../cluster/shared.ts';
import { example, operatorEnvironment } from './operator-environment.ts';
import type { Environment } from './operator-environment.ts';

const namespace = 'r2r-e2e-network';
const name = 'neural';
const folder = '/opt/r2r/examples/models';
const checkpoint = { uri: `${folder}/router/router.pt` };

describe('an R2RDeployment with a router network', function () {
  this.timeout(300_000);
  let env: Environment;

  before(async function () {
    this.timeout(1_800_000);
    if (whyNoCluster() !== undefined) this.skip();
    env = await operatorEnvironment();
    await env.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--timeout=120s'], { timeoutMs: 130_000 });
    await env.cluster.kubectl(['create', 'namespace', namespace]);
    const { spec, ...rest } = example(namespace, name);
    const { resources } = spec.router;
    await env.apply({ ...rest, spec: { ...spec, llm: { ...spec.llm, replicas: 1 }, router: { checkpoint, resources } } });
    await env.condition(namespace, name, 'Ready', { status: 'True' }, 240_000);
  });
  after(async () => {
    await (env as Environment | undefined)?.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--wait=false']);
  });

  const status = async () => (await env.deployment(namespace, name)).status;
  const routerReady = async () => {
    const condition = findCondition((await status())?.conditions, 'RouterReady');
    return `${condition?.status} ${condition?.reason}`;
  };
  const pods = (): Promise<string> => env.cluster.kubectl(['get', 'pods', '--namespace', namespace, '--output=name']);
  const chat = async () => {
    await using forward = await portForward(env.cluster, namespace, `service/${name}`, 80);
    const client = new OpenAI({ baseURL: `${forward.url}/v1`, apiKey: 'none', maxRetries: 3 });
    const answer = await client.chat.completions.create({
      model: name,
      messages: [{ role: 'user', content: 'Start with 12. Add 30. What is the result?' }],
      max_completion_tokens: 60,
    });
    return answer as typeof answer & { llm_ratio: number };
  };

  it("imports the checkpoint in its pod and routes by it, with the checkpoint's own threshold", async () => {
    const { usage } = await chat();
    assert.ok(usage && usage.completion_tokens > 0);
    const router = await until('the bundle in the status', 30_000, async () => {
      const found = (await status())?.router;
      return found?.bundle && found;
    });
    assert.equal(router.strategy, 'neural');
    assert.match(router.bundle?.digest ?? '', /^[0-9a-f]{64}$/);
    assert.ok(router.threshold !== undefined && router.threshold > 0 && router.threshold < 1);
  });

  it('takes a threshold over without restarting a pod', async () => {
    const before = await pods();
    await env.patch(namespace, name, { spec: { router: { threshold: 0 } } });
    await until('the threshold is in force', 30_000, async () => (await status())?.router?.threshold === 0);
    assert.equal((await chat()).llm_ratio, 1);
    await env.patch(namespace, name, { spec: { router: { threshold: null } } });
    await until("the checkpoint's own is in force again", 30_000, async () => (await status())?.router?.threshold !== 0);
    assert.equal(await pods(), before);
  });

  it('refuses what is no checkpoint, says so, and goes on with the network it has', async () => {
    const before = await pods();
    const digest = (await status())?.router?.bundle?.digest;
    await env.patch(namespace, name, { spec: { router: { checkpoint: { uri: `${folder}/README.md` } } } });
    await until('the refusal', 30_000, async () => (await routerReady()) === 'False BundleRefused');
    const ready = findCondition((await status())?.conditions, 'Ready');
    assert.equal(ready?.status, 'True');
    assert.match(ready.message, /refuse the wanted router network/);
    assert.equal((await chat()).choices.length, 1);
    assert.equal((await status())?.router?.bundle?.digest, digest);
    await env.patch(namespace, name, { spec: { router: { checkpoint } } });
    await until('the right one again', 30_000, async () => (await routerReady()) === 'True UpToDate');
    assert.equal(await pods(), before);
  });
});
