/**
 * LLM pods killed at random under load, on a real node: with `Wait` no client sees anything of it, with `UseSLM` every token that is another one
 * for it is marked. `R2R_TEST_SEED` makes the same choices again, though not at the same instants.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { pause } from '../../src/kube/clock.ts';
import { KubeConfig } from '@kubernetes/client-node';
import { KubeClient } from '../../src/kube/index.ts';
import type { Pod } from '../../src/kube/resources.ts';
import { importCheckpoint } from '../../src/model/import-bundle.ts';
import { openScoring, type Scoring } from '../../src/router/scoring/index.ts';
import { startEngine, type RunningEngine } from '../../src/engine/server.ts';
import { namespaced, type Namespace } from '../cluster/namespace.ts';
import { until } from '../cluster/progress.ts';
import { whyNoCluster } from '../cluster/shared.ts';
import { example, operatorEnvironment } from '../e2e/operator-environment.ts';
import type { Environment } from '../e2e/operator-environment.ts';
import { RealReference } from '../router/real-reference.ts';
import { mix } from '../router/scripted-models.ts';
import { tinyModels } from '../router/tiny-pair.ts';
import { scale } from '../scale.ts';
import { PodKiller } from './llm-kills/pod-killer.ts';
import { ask, maxTokens, questions, type Answer, type Question } from './llm-kills/questions.ts';
import { StatusWatch } from './llm-kills/status-watch.ts';
import { recordResult } from '../record-result.ts';

const seconds = 30 * scale;
const seed = Number(process.env.R2R_TEST_SEED ?? randomInt(2 ** 31));
/** Each asks again when it was answered. */
const clients = 3;
/** Others come whether or not anybody is answered: most of them meet pods that are away. */
const newcomerEveryMs = 1_000;
const mostNewcomers = 40;
const name = 'tiny';
/** After the last kill: pods come back, and with them whatever waited. */
const patienceMs = 240_000;

interface Answered {
  readonly asked: Question;
  readonly streamed: boolean;
  readonly ms: number;
  readonly answer: Answer;
}

describe(`LLM pods killed at random for ${seconds} s under load (R2R_TEST_SEED=${seed})`, function () {
  this.timeout(2 * seconds * 1000 + 1_200_000);
  let env: Environment;
  let client: KubeClient;
  let folder: string;
  let engines: readonly RunningEngine[];
  let scoring: Scoring;
  let reference: RealReference;
  let namespace: Namespace | undefined;

  before(async function () {
    this.timeout(1_800_000);
    // processes of pods are killed, and the load goes to the Service's address: both can be reached only on the local cluster's host
    if (whyNoCluster() !== undefined || process.env.R2R_TEST_CONTEXT) this.skip();
    env = await operatorEnvironment();
    const config = new KubeConfig();
    config.loadFromFile(env.cluster.kubeconfig ?? '');
    client = KubeClient.fromConfig(config, { fieldManager: 'llm-kills' });
    folder = await mkdtemp(join(tmpdir(), 'r2r-kills-'));
    const bundleFolder = join(folder, 'bundle');
    const checkpointPath = join(tinyModels.slm, '../router/router.pt');
    const bundle = {
      checkpointPath,
      slmFolder: tinyModels.slm,
      outFolder: bundleFolder,
      precisions: ['int8'],
      source: 'the example',
    } as const;
    await importCheckpoint(bundle);
    scoring = await openScoring({ bundleFolder, slmFolder: tinyModels.slm, precision: 'int8', device: 'cpu', threads: 1 });
    const serve = (modelPath: string): Promise<RunningEngine> =>
      startEngine({ modelPath, host: '127.0.0.1', port: 0, metrics: false, returnHiddenStates: true }, (error) => {
        throw error;
      });
    engines = await Promise.all([serve(tinyModels.slm), serve(tinyModels.llm)]);
    const [slmUrl, llmUrl] = engines.map((engine) => engine.url) as [string, string];
    reference = new RealReference({ slmUrl, llmUrl, scoring });
  });
  afterEach(async () => {
    await namespace?.remove();
    namespace = undefined;
  });
  after(async () => {
    if (!(env as Environment | undefined)) return;
    await Promise.all([reference.close(), client.close()]);
    await Promise.all([...engines.map((engine) => engine.close()), scoring.close()]);
    await rm(folder, { recursive: true });
  });

  const selector = (component: string): string => `app.kubernetes.io/instance=${name},app.kubernetes.io/component=${component}`;
  const podsOf = async (component: string): Promise<readonly Pod[]> => {
    const all = await env.get<{ items: readonly Pod[] }>('pods', ...(namespace?.flags ?? []), '--selector', selector(component));
    return all.items;
  };
  /** What must not change of a router: its pod, and that none of its containers was started again. */
  const routers = async (): Promise<readonly string[]> =>
    (await podsOf('slm'))
      .map(({ metadata, status }) => {
        const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
        return `${metadata?.uid} ${all.map((each) => `${each.name} restarted ${each.restartCount} times`).join(', ')}`;
      })
      .sort();

  /** Counters of all routers together. */
  async function counters(): Promise<Readonly<Record<string, number>>> {
    const sums: Record<string, number> = {};
    for (const { status } of await podsOf('slm')) {
      const text = await (await fetch(`http://${status?.podIP}:9090/metrics`)).text();
      for (const [, counter = '', value] of text.matchAll(/^r2r_((?:tokens|requests)_total\{[^}]*\}) (\S+)$/gm))
        sums[counter] = (sums[counter] ?? 0) + Number(value);
    }
    return sums;
  }

  async function expected(asked: Question, outage?: ReadonlySet<number>) {
    const { question, strategy, temperature, seed: drawn } = asked;
    const threshold = asked.threshold ?? (strategy === 'neural' ? (scoring.manifest.threshold ?? undefined) : undefined);
    const sampling = { temperature, topP: 1, topK: 0, seed: drawn };
    return (await reference.answer({ question, maxTokens, strategy, threshold, sampling, ...(outage && { outage }) })).map(
      ({ id, source }) => [id, source],
    );
  }
  const told = ({ tokens }: Answer) => tokens.map(({ 0: id, 2: source }) => [id, source]);
  const marksOf = ({ tokens }: Answer): ReadonlySet<number> =>
    new Set(tokens.flatMap(({ 2: source }, position) => (source === 'fallback' ? [position] : [])));

  async function kill(onLLMUnavailable: 'Wait' | 'UseSLM') {
    namespace = await namespaced(env.cluster, `kills-${onLLMUnavailable.toLowerCase()}`);
    const router = { onLLMUnavailable, llmTimeoutSeconds: 1 };
    await env.apply(example(namespace.name, name, { slm: { replicas: 2 }, llm: { replicas: 2 }, router }));
    const whole = async (): Promise<unknown> => {
      assert.ok(namespace);
      await env.condition(namespace.name, name, 'Ready', { status: 'True', reason: /^Serving$/ }, patienceMs);
      return until('every replica is ready', patienceMs, async () => {
        const { summary } = (await env.deployment(namespace?.name ?? '', name)).status ?? {};
        return summary?.slm === '2/2' && summary.llm === '2/2';
      });
    };
    await whole();
    const service = await namespace.get<{ spec: { clusterIP: string } }>(`service/${name}`);
    const url = `http://${service.spec.clusterIP}`;
    const given: Answered[] = [];
    /** What a client would complain of, one line each. */
    const lost: string[] = [];
    const askOnce = async (asked: Question, streamed: boolean, signal?: AbortSignal): Promise<Answer | undefined> => {
      const since = performance.now();
      try {
        const answer = await ask(url, name, asked, streamed, signal);
        given.push({ asked, streamed, answer, ms: Math.round(performance.now() - since) });
        return answer;
      } catch (error) {
        lost.push(`${new Date().toISOString()} after ${Math.round(performance.now() - since)} ms: ${inspect(error)}`);
        return undefined;
      }
    };

    const before = await counters();
    const routersBefore = await routers();
    const undisturbed = new Map<Question, string>();
    for (const asked of questions) {
      const answer = await askOnce(asked, false);
      assert.ok(answer, lost.join('\n'));
      assert.deepEqual(told(answer), await expected(asked), 'undisturbed, the cluster answers as the reference does');
      undisturbed.set(asked, JSON.stringify(answer));
    }

    const random = draws(seed);
    const over = new AbortController();
    const tooLate = new AbortController();
    const anyOf = (own: () => number): Question => questions[Math.floor(own() * questions.length)]!;
    const converse = async (which: number): Promise<void> => {
      const own = draws(mix(seed, [which]));
      while (!over.signal.aborted) {
        await askOnce(anyOf(own), own() < 0.5, tooLate.signal);
        await pause(own() * 300, over.signal);
      }
    };
    const welcome = async (): Promise<void> => {
      const [own, inside] = [draws(mix(seed, [clients])), new Set<Promise<unknown>>()];
      while (!over.signal.aborted) {
        await pause(own() * 2 * newcomerEveryMs, over.signal);
        if (inside.size >= mostNewcomers) continue;
        const asking: Promise<unknown> = askOnce(anyOf(own), own() < 0.5, tooLate.signal).finally(() => inside.delete(asking));
        inside.add(asking);
      }
      await Promise.all(inside);
    };
    const options = { client, namespace: namespace.name };
    const killer = new PodKiller({ ...options, labelSelector: selector('llm'), random });
    const watch = new StatusWatch({ ...options, name, llmSelector: selector('llm') });
    const all = Promise.all([
      killer.run(over.signal),
      watch.run(over.signal),
      welcome(),
      ...Array.from({ length: clients }, (_, which) => converse(which)),
    ]);
    const end = setTimeout(() => over.abort(), seconds * 1000);
    // what has no answer long after the pods are back is lost
    const last = setTimeout(() => tooLate.abort(new Error('no answer long after the last kill')), seconds * 1000 + patienceMs);
    await all.finally(() => {
      over.abort();
      clearTimeout(end);
      clearTimeout(last);
    });
    await whole();
    for (const asked of questions) {
      const answer = await until('an answer by both models again', 60_000, async () => {
        const one = await askOnce(asked, true);
        return one && marksOf(one).size === 0 && one;
      });
      assert.equal(JSON.stringify(answer), undisturbed.get(asked));
    }

    const after = await counters();
    const count = (counter: string): number => (after[counter] ?? 0) - (before[counter] ?? 0);
    const bySource = (source: string): number =>
      given.reduce((sum, { answer: { tokens } }) => sum + tokens.filter((token) => token[2] === source).length, 0);
    const figures = {
      seconds,
      seed,
      kills: killer.kills,
      requests: given.length,
      lost: lost.length,
      streamed: given.filter(({ streamed }) => streamed).length,
      tokens: { slm: bySource('slm'), llm: bySource('llm'), fallback: bySource('fallback') },
      longestMs: Math.max(...given.map(({ ms }) => ms)),
      readyAs: [...watch.readyAs].sort(),
      looksAtStatus: watch.looks,
      looksAtUnreachableRouters: watch.unreachable,
    };
    return { given, lost, undisturbed, figures, watch, routersBefore, count };
  }

  type Kill = Awaited<ReturnType<typeof kill>>;

  /** What holds whatever the policy is. */
  async function assertInOrder({ given, lost, figures, watch, routersBefore, count }: Kill): Promise<void> {
    const { kills, tokens, requests } = figures;
    assert.deepEqual(lost, []);
    assert.deepEqual([...watch.lies], []);
    assert.deepEqual(await routers(), routersBefore, 'no router and no SLM was started again');
    assert.match(routersBefore.join(), /restarted 0 times/);
    assert.doesNotMatch(routersBefore.join(), /restarted [1-9]/);
    for (const { answer } of given) {
      const sources = { slm: 0, llm: 0, fallback: 0 };
      for (const token of answer.tokens) sources[token[2] as keyof typeof sources]++;
      assert.deepEqual(answer.counts, sources);
      assert.equal(answer.degraded, sources.fallback > 0, 'an answer is degraded exactly if a token is marked');
      // the text is that of the tokens; think tags and the end token are none
      const text = answer.tokens.map((token) => token[1]).join('');
      assert.equal(text.replace(/<\/?think>/g, ''), answer.reasoning + answer.content);
    }
    const counted = Object.fromEntries(Object.keys(tokens).map((source) => [source, count(`tokens_total{source="${source}"}`)]));
    assert.deepEqual(counted, tokens, 'the routers counted what the clients got');
    assert.equal(count('requests_total{code="200"}'), requests);
    // some thirty kills by themselves bring every way; a short run has fewer
    const ways =
      seconds >= 300 ? [kills.Force, kills.Graceful, kills.Sigkill, kills.allAtOnce] : [kills.Force + kills.Graceful + kills.Sigkill];
    assert.ok(
      ways.every((times) => times > 0),
      JSON.stringify(kills),
    );
    assert.ok(tokens.slm > 0 && tokens.llm > 0, JSON.stringify(tokens));
    await assertEventsAreTrue();
  }

  /** Pods that were killed are neither drift of a child nor a roll-out, and no router was in trouble. */
  async function assertEventsAreTrue(): Promise<void> {
    const { items } = await env.get<{ items: readonly { reason: string; note?: string; regarding: { kind: string } }[] }>(
      'events.events.k8s.io',
      ...(namespace?.flags ?? []),
    );
    const ours = items.filter(({ regarding }) => regarding.kind === 'R2RDeployment');
    const known = [
      'RolloutStarted',
      'EndpointMoved',
      'Serving',
      'PodsNotReady',
      'CrashLoopBackOff',
      'RouterUnreachable',
      'Updating',
      'Probing',
      'BundleLoading',
    ];
    const others = ours.filter(({ reason }) => !known.includes(reason)).map(({ reason, note }) => `${reason}: ${note}`);
    assert.deepEqual(others, []);
    assert.equal(ours.filter(({ reason }) => reason === 'RolloutStarted').length, 1);
  }

  it('with Wait, no request is lost and no token is another one', async () => {
    const run = await kill('Wait');
    const wrong = run.given.filter(({ asked, answer }) => JSON.stringify(answer) !== run.undisturbed.get(asked));
    console.log(JSON.stringify({ mode: 'Wait', ...run.figures, wrong: wrong.length }));
    assert.deepEqual(wrong.slice(0, 3), []);
    assert.equal(run.figures.tokens.fallback, 0);
    await assertInOrder(run);
    await recordResult('killsWait', run.figures);
  });

  it('with UseSLM, no request is lost, and every token that is another one for it is marked', async () => {
    const run = await kill('UseSLM');
    const unmarked = run.given.filter(({ answer }) => marksOf(answer).size === 0);
    const wrong: object[] = unmarked.filter(({ asked, answer }) => JSON.stringify(answer) !== run.undisturbed.get(asked));
    const marked = new Map(
      run.given.flatMap(({ asked, answer }) => {
        const marks = marksOf(answer);
        return marks.size === 0 ? [] : [[JSON.stringify([asked, told(answer)]), { asked, marks, given: told(answer) }] as const];
      }),
    );
    // Given where no LLM answered, each token must be the one that routing one token at a time gives behind those before it.
    const unverified = [...marked.values()];
    const verify = async (): Promise<void> => {
      for (let next = unverified.pop(); next; next = unverified.pop()) {
        const { asked, marks, given } = next;
        const right = await expected(asked, marks);
        if (JSON.stringify(given) !== JSON.stringify(right)) wrong.push({ asked, given, right });
      }
    };
    await Promise.all(Array.from({ length: 8 }, verify));
    const degraded = run.given.filter(({ answer }) => answer.degraded).length;
    const figures = { ...run.figures, degraded, differentDegraded: marked.size };
    console.log(JSON.stringify({ mode: 'UseSLM', ...figures, wrong: wrong.length }));
    assert.deepEqual(wrong.slice(0, 3), []);
    await assertInOrder(run);
    assert.ok(figures.tokens.fallback > 0 && degraded < run.given.length, JSON.stringify(figures));
    await recordResult('killsUseSLM', figures);
  });
});

/** Numbers in [0, 1) that the seed decides. */
function draws(from: number): () => number {
  let count = 0;
  return () => mix(from, [count++]) / 2 ** 32;
}
