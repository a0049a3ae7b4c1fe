import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { parseAllDocuments } from 'yaml';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import { jobNames } from '../../src/api/r2rrouter-jobs.ts';
import type { JobName } from '../../src/api/r2rrouter-jobs.ts';
import type { R2RRouter } from '../../src/api/r2rrouter.ts';
import type { Pod } from '../../src/kube/resources.ts';
import { portForward } from '../../tools/demo/port-forward.ts';
import { loadImages } from '../cluster/images.ts';
import { restartNode } from '../cluster/restart.ts';
import { until } from '../cluster/progress.ts';
import { progress, whyNoCluster } from '../cluster/shared.ts';
import { operatorEnvironment } from './operator-environment.ts';
import type { Environment } from './operator-environment.ts';

const namespace = 'r2r-e2e-router';
const root = join(import.meta.dirname, '../..');

/** The example, smaller: with its thousand questions and its whole training it is what `npm run bench:pipeline` runs. */
function example(name: string): { readonly router: R2RRouter; readonly deployment: R2RDeployment } {
  const [router, deployment] = parseAllDocuments(readFileSync(join(root, 'examples/r2rrouter.yaml'), 'utf8')).map(
    (each) => each.toJS() as object,
  );
  const made = structuredClone(router) as { metadata: object; spec: { source: { pipeline: object }; gate: object } };
  made.metadata = { name, namespace };
  Object.assign(made.spec.source.pipeline, { numItems: 40 });
  // Forty questions make no good router; what is tested is the way to it.
  made.spec.gate = { minRecall: 0 };
  const followed = structuredClone(deployment) as { metadata: object; spec: { router: { checkpoint: object } } };
  followed.metadata = { name, namespace };
  followed.spec.router.checkpoint = { routerRef: { name } };
  return { router: made as unknown as R2RRouter, deployment: followed as unknown as R2RDeployment };
}

describe('an R2RRouter on a real node', function () {
  this.timeout(900_000);
  let env: Environment;

  before(async function () {
    this.timeout(1_800_000);
    if (whyNoCluster() !== undefined || process.env.R2R_TEST_CONTEXT) this.skip();
    env = await operatorEnvironment();
    // PyTorch is in it: only who trains waits for its image
    await loadImages(env.cluster, ['trainer'], progress);
    await env.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--timeout=120s'], { timeoutMs: 130_000 });
    await env.cluster.kubectl(['create', 'namespace', namespace]);
    await env.cluster.kubectl(['label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted']);
  });
  after(async () => {
    await (env as Environment | undefined)?.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--wait=false']);
  });

  const read = (name: string): Promise<R2RRouter> => env.get('r2rr', name, '--namespace', namespace);
  const patch = (name: string, change: object): Promise<string> =>
    env.cluster.kubectl(['patch', 'r2rr', name, '--namespace', namespace, '--type=merge', '--patch', JSON.stringify(change)]);
  const told = async (name: string, type: string): Promise<string> => {
    const found = (await read(name)).status?.conditions?.find((each) => each.type === type);
    return `${found?.status} ${found?.reason}${found?.status === 'False' ? `: ${found.message}` : ''}`;
  };
  const step = async (name: string, of: JobName) => (await read(name)).status?.steps?.find((each) => each.name === of);
  const untilReady = (name: string): Promise<unknown> =>
    until(`${name} is ready`, 600_000, async () => {
      const ready = await told(name, 'Ready');
      const stalled = await told(name, 'Stalled');
      // a failure that needs a person ends the wait
      if (stalled.startsWith('True')) return `stalled: ${ready}`;
      if (ready !== 'True Done') throw new Error(ready);
      return true;
    }).then((found) => assert.equal(found, true));
  const podsOf = async (name: string, of: string): Promise<readonly Pod[]> =>
    (
      await env.get<{ items: readonly Pod[] }>(
        'pods',
        '--namespace',
        namespace,
        '--selector',
        `app.kubernetes.io/instance=${name},r2r.dev/step=${of}`,
      )
    ).items;

  it('labels, trains, checks and rolls a router out, from one file', async () => {
    const { router, deployment } = example('sums');
    await env.apply(router);
    await env.apply(deployment);
    await until('progress of a step', 300_000, async () => (await read('sums')).status?.summary?.progress);
    await untilReady('sums');
    const { status } = await read('sums');
    for (const each of status?.steps ?? []) assert.equal(each.state, 'Done', each.name);
    assert.equal(status?.steps?.length, 8);
    const { labels, bundle, history } = status;
    assert.ok(
      labels && labels.divergent > 0 && labels.neutral > 0 && labels.identical > labels.neutral && labels.unknown === 0,
      JSON.stringify(labels),
    );
    assert.ok(bundle?.threshold !== undefined && bundle.recall !== undefined && bundle.positiveRate !== undefined);
    assert.equal(history?.[0]?.digest, bundle.digest);
    const [head = '', row = ''] = (await env.cluster.kubectl(['get', 'r2rr', 'sums', '--namespace', namespace])).trim().split('\n');
    assert.match(head, /^NAME\s+PHASE\s+STEP\s+PROGRESS\s+RECALL\s+POSITIVE%\s+AGE$/);
    assert.match(row, /^sums\s+Ready\s+[\d.]+%\s+[\d.]+%\s/);
  });

  it('gives the bundle to the deployment that follows it, which routes by it without a restart', async () => {
    const digest = (await read('sums')).status?.bundle?.digest;
    const pods = async () =>
      (await env.get<{ items: readonly Pod[] }>('pods', '--namespace', namespace, '--selector', 'app.kubernetes.io/component=slm')).items;
    await until(
      'the deployment uses the bundle',
      120_000,
      async () => (await env.deployment(namespace, 'sums')).status?.router?.bundle?.digest === digest,
    );
    await until('it is rolled out', 120_000, async () => (await told('sums', 'RolledOut')) === 'True RolledOut');
    for (const { status } of await pods()) for (const each of status?.containerStatuses ?? []) assert.equal(each.restartCount, 0);
    assert.equal((await env.deployment(namespace, 'sums')).status?.router?.strategy, 'neural');
    await using forward = await portForward(env.cluster, namespace, 'service/sums', 80);
    const client = new OpenAI({ baseURL: `${forward.url}/v1`, apiKey: 'none', maxRetries: 3 });
    const question = 'Start with 12. Add 30. What is the result?';
    const answer = await client.chat.completions.create({
      model: 'sums',
      messages: [{ role: 'user', content: question }],
      max_completion_tokens: 60,
    });
    assert.ok(answer.usage && answer.usage.completion_tokens > 0);
  });

  it('makes the same label set and bundle, to the byte, when a pod of every step is killed and the node restarts', async () => {
    const { router } = example('killed');
    await env.apply(router);
    const killed: string[] = [];
    for (const name of jobNames) {
      const pod = await until(`a pod of ${name}`, 240_000, async () => {
        if ((await step('killed', name))?.state === 'Done') return 'done';
        // those that read the models for minutes elsewhere are over in seconds here: they are killed as soon as they are there
        return (await podsOf('killed', name)).find(({ status }) => status?.phase === 'Pending' || status?.phase === 'Running');
      });
      if (pod === 'done') continue;
      if (name === 'respond') {
        await until('the step runs', 60_000, async () =>
          (await podsOf('killed', name)).some(({ status }) =>
            status?.containerStatuses?.some(({ name: container, state }) => container === 'step' && state?.running),
          ),
        );
        await restartNode(progress);
      } else
        await env.cluster.kubectl(['delete', 'pod', pod.metadata?.name ?? '', '--namespace', namespace, '--force', '--grace-period=0']);
      killed.push(name);
    }
    // one may be over between two looks
    assert.ok(killed.includes('respond') && killed.length >= jobNames.length - 1, killed.join(', '));
    await until('its bundle', 600_000, async () => (await step('killed', 'bundle'))?.state === 'Done');
    const [whole, broken] = await Promise.all([step('sums', 'construct'), step('killed', 'construct')]);
    assert.ok(whole?.digest);
    assert.equal(broken?.digest, whole.digest);
    assert.deepEqual(broken.counts, whole.counts);
    assert.equal((await read('killed')).status?.bundle?.digest, (await read('sums')).status?.bundle?.digest);
  });

  it('says which step failed, in which field and why, and goes on from there when it is mended', async () => {
    const { router } = example('wrong');
    const { pipeline } = router.spec.source;
    const [first] = pipeline?.datasets ?? [];
    const spec = { ...router.spec, source: { pipeline: { ...pipeline, datasets: [{ ...first, questionField: 'problem' }] } } };
    await env.apply({ ...router, spec });
    await until('it is stalled', 120_000, async () => (await told('wrong', 'Stalled')).startsWith('True'));
    const failure = (await step('wrong', 'convert'))?.failure;
    assert.equal(failure?.field, 'problem');
    assert.match(failure.message, /convert.*problem/);
    await patch('wrong', { spec: { source: { pipeline: { datasets: [first] } } } });
    await until('it goes on', 120_000, async () => (await step('wrong', 'convert'))?.state === 'Done');
    await patch('wrong', { spec: { jobs: { suspend: true } } });
  });

  it('runs nothing again for a spec whose results are there, and trains again where only that has changed', async () => {
    const before = (await read('sums')).status?.steps;
    await patch('sums', { spec: { training: { seed: 11 } } });
    await until('it trains', 60_000, async () => (await read('sums')).status?.phase === 'Running');
    await until('it is done', 300_000, async () => (await read('sums')).status?.phase === 'Ready');
    const after = (await read('sums')).status;
    const changed = after?.steps?.filter(({ name, hash }) => before?.find((each) => each.name === name)?.hash !== hash);
    assert.deepEqual(
      changed?.map(({ name }) => name),
      ['train', 'bundle'],
    );
    assert.equal(after?.history?.length, 2);
    const table = await env.cluster.kubectl(['describe', 'r2rr', 'sums', '--namespace', namespace]);
    assert.match(table, /StepDone/);
  });
});
