/** Autoscaling on a real node: real engines and routers, under a load that is compared with a reference answer by answer. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { findCondition } from '../../src/api/conditions.ts';
import type { RouterStatus } from '../../src/api/router-status.ts';
import { prefillTokensPerCall } from '../../src/autoscaler/index.ts';
import { portForward } from '../../tools/demo/port-forward.ts';
import { until } from '../cluster/progress.ts';
import { whyNoCluster } from '../cluster/shared.ts';
import { example, operatorEnvironment } from './operator-environment.ts';
import type { Environment } from './operator-environment.ts';

const namespace = 'r2r-autoscaling';
const name = 'scaled';
/** With the one nearly every token is the LLM's, with the other none: its demand is then that of reading prompts. */
const [low, high] = [0.0001, 1];
const clients = 3;
/** A client begins its next question no sooner than this: else quicker answers would mean more of them, and as much work as before. */
const everyMs = 1_500;

interface Answer {
  readonly text: string;
  readonly tokens: number;
  readonly degraded: boolean;
}

describe('an autoscaled R2RDeployment on a real node', function () {
  this.timeout(180_000);
  let env: Environment;
  let url: string;
  const references = new Map<number, Answer>();

  before(async function () {
    this.timeout(1_800_000);
    // the load goes to the Service's address, which only the local cluster's host can reach
    if (whyNoCluster() !== undefined || process.env.R2R_TEST_CONTEXT) this.skip();
    env = await operatorEnvironment();
    await env.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--timeout=120s'], { timeoutMs: 130_000 });
    await env.cluster.kubectl(['create', 'namespace', namespace]);
    const autoscaling = {
      maxReplicas: 2,
      capacityPerReplica: 1_000_000,
      targetUtilization: 0.5,
      scaleDown: { windowSeconds: 1, maxStep: 2 },
    };
    await env.apply(example(namespace, name, { llm: { replicas: 1, autoscaling }, router: { threshold: high } }));
    await env.condition(namespace, name, 'Ready', { status: 'True' }, 240_000);
    const { clusterIP } = (await env.get<{ spec: { clusterIP: string } }>('service', name, '--namespace', namespace)).spec;
    url = `http://${clusterIP}/v1/chat/completions`;
    for (const threshold of [low, high]) references.set(threshold, await ask(threshold));
  });

  after(async () => {
    await (env as Environment | undefined)?.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--wait=false']);
  });

  /** @param threshold left out: the deployment's */
  async function ask(threshold?: number): Promise<Answer> {
    const body = {
      model: name,
      messages: [{ role: 'user', content: 'Start with 12. Add 30. What is the result?' }],
      max_tokens: 60,
      ...(threshold !== undefined && { r2r: { threshold } }),
    };
    const headers = { 'content-type': 'application/json', connection: 'close' };
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    const { choices, usage, r2r } = JSON.parse(text) as {
      choices: { message: { content: string; reasoning_content?: string } }[];
      usage: { completion_tokens: number };
      r2r: { degraded: boolean };
    };
    const message = choices[0]?.message;
    return {
      text: `${message?.reasoning_content ?? ''}|${message?.content ?? ''}`,
      tokens: usage.completion_tokens,
      degraded: r2r.degraded,
    };
  }

  /** Several clients ask one question after the other; none tries again. @returns what was not answered as the reference */
  async function underLoad(
    during: () => Promise<void>,
    threshold?: number,
  ): Promise<{ readonly answered: number; readonly wrong: readonly string[] }> {
    const over = new AbortController();
    const wrong: string[] = [];
    let answered = 0;
    const right = new Set([...references.values()].map((answer) => JSON.stringify(answer)));
    const client = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const next = performance.now() + everyMs;
        try {
          const answer = JSON.stringify(await ask(threshold));
          if (right.has(answer)) answered++;
          else wrong.push(answer);
        } catch (error) {
          wrong.push(String(error));
        }
        await sleep(Math.max(0, next - performance.now()), undefined, { signal: over.signal }).catch(() => undefined);
      }
    };
    const all = Array.from({ length: clients }, client);
    try {
      await during();
    } finally {
      over.abort();
      await Promise.all(all);
    }
    return { answered, wrong };
  }

  const scaling = async () => (await env.deployment(namespace, name)).status;
  const replicas = (count: number, timeoutMs = 90_000): Promise<unknown> =>
    until(`${count} LLM replicas`, timeoutMs, async () => {
      const status = await scaling();
      return status?.summary?.llm === `${count}/${count}` && status.llm?.replicas === count;
    });
  const autoscaling = (change: object): Promise<void> => env.patch(namespace, name, { spec: { llm: { autoscaling: change } } });
  const setThreshold = (threshold: number): Promise<void> => env.patch(namespace, name, { spec: { router: { threshold } } });

  /** Calls a second that the load means for the LLM, as the operator counts them. */
  async function demandAt(threshold: number): Promise<number> {
    const pod = await env.cluster.kubectl([
      ...['get', 'pods', '--namespace', namespace, '--selector', 'app.kubernetes.io/component=slm'],
      ...['--output', 'jsonpath={.items[0].metadata.name}'],
    ]);
    await using forward = await portForward(env.cluster, namespace, `pod/${pod}`, 9090);
    const asked = async (): Promise<number> => {
      const { work } = (await (await fetch(`${forward.url}/r2r/status`)).json()) as RouterStatus;
      return (work?.llm.calls ?? 0) + (work?.llm.primedTokens ?? 0) / prefillTokensPerCall;
    };
    let rate = 0;
    await underLoad(async () => {
      await sleep(1_000);
      const [before, since] = [await asked(), performance.now()];
      await sleep(5_000);
      rate = (await asked()) - before;
      rate /= (performance.now() - since) / 1000;
    }, threshold);
    return rate;
  }

  it('gives the LLM more replicas when the load rises, follows the threshold, and loses no token when replicas are drained under load', async function () {
    this.timeout(420_000);
    const [much, little] = [await demandAt(low), await demandAt(high)];
    // two replicas for much, one for little
    const perReplica = much / 1.6;
    assert.ok(little < perReplica * 0.85, `the thresholds differ too little: ${much} and ${little} calls a second`);
    await autoscaling({ capacityPerReplica: Math.ceil((perReplica / 0.5) * 100) / 100 });
    const load = await underLoad(async () => {
      await setThreshold(low);
      await replicas(2);
      const [decision] = (await scaling())?.scaling?.llm?.decisions ?? [];
      assert.ok(decision?.to === 2 && (decision.demandPerSecond ?? 0) > 0, JSON.stringify(decision));

      await setThreshold(high);
      await replicas(1);

      await setThreshold(low);
      await replicas(2);
      await autoscaling({ maxReplicas: 1 });
      await replicas(1);
    });
    assert.deepEqual(load.wrong, []);
    assert.ok(load.answered > 20, `${load.answered} answers`);
    const events = await env.cluster.kubectl([
      'get',
      'events.events.k8s.io',
      '--namespace',
      namespace,
      '--output',
      'jsonpath={.items[*].reason}',
    ]);
    for (const reason of ['ScaledUp', 'ScaledDown', 'DrainStarted', 'Drained']) assert.match(events, new RegExp(`\\b${reason}\\b`));
    assert.doesNotMatch(events, /\bDriftCorrected\b/);
  });

  it('goes to zero, stays Ready, and keeps a request waiting until a replica is back', async () => {
    await autoscaling({ minReplicas: 0, idleSecondsBeforeZero: 10 });
    await replicas(0, 120_000);
    const status = await scaling();
    assert.equal(findCondition(status?.conditions, 'Ready')?.status, 'True');
    assert.equal(findCondition(status?.conditions, 'ScalingReady')?.reason, 'ScaledToZero');
    assert.deepEqual(await ask(low), references.get(low));
    await replicas(1);
  });
});
