import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { ConditionInput } from '../../src/api/conditions.ts';
import { setConditions } from '../../src/api/conditions.ts';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import type { R2RDeploymentStatus } from '../../src/api/r2rdeployment-status.ts';
import { goDuration } from '../../src/cli/go-duration.ts';
import { historyText } from '../../src/cli/rollout-history.ts';
import { rolloutProgress } from '../../src/cli/rollout-progress.ts';
import type { ApiServer } from '../api/api-server.ts';
import { apiServer, resourcePath } from '../api/api-server.ts';
import { manifest, stored } from '../api/deployments.ts';
import { controlPlane } from '../cluster/control-plane.ts';

const now = new Date('2026-01-02T00:00:00Z');
const conditions = (...list: readonly ConditionInput[]): Pick<R2RDeploymentStatus, 'conditions' | 'observedGeneration'> => ({
  observedGeneration: 1,
  conditions: setConditions(undefined, list, 1, now),
});
const reconciling = (status: 'True' | 'False', reason: string, message = 'm'): ConditionInput => ({
  type: 'Reconciling',
  status,
  reason,
  message,
});
const ready: ConditionInput = { type: 'Ready', status: 'True', reason: 'Serving', message: 'm' };
const rolledOut = conditions(ready, reconciling('False', 'UpToDate'));
const underWay = conditions(
  reconciling('True', 'Updating', 'revision b is being rolled out: SLM 0/1, LLM 0/2; revision a goes on answering'),
);
const stalled = conditions(reconciling('False', 'ImagePullBackOff'), {
  type: 'Stalled',
  status: 'True',
  reason: 'ImagePullBackOff',
  message: 'image x cannot be pulled',
});
const paused = conditions(reconciling('False', 'RolloutPaused', 'revision b waits, because spec.rollout.strategy is None'));

describe('how far a roll-out is', () => {
  const progress = (status: R2RDeploymentStatus | undefined) => {
    const deployment = stored('tiny', { slm: { model: '/a' }, llm: { model: '/b' } });
    return rolloutProgress(status ? { ...deployment, status } : deployment);
  };

  it('is told in the words of kubectl', () => {
    assert.deepEqual(progress(undefined), {
      done: false,
      line: 'Waiting for r2rdeployment "tiny" spec update to be observed by the operator...',
    });
    assert.deepEqual(progress(underWay), {
      done: false,
      line: 'Waiting for r2rdeployment "tiny" rollout to finish: revision b is being rolled out: SLM 0/1, LLM 0/2; revision a goes on answering',
    });
    assert.deepEqual(progress(rolledOut), { done: true, line: 'r2rdeployment "tiny" successfully rolled out' });
  });

  it('is done for one that is suspended, and for one that fell ill later, which is said', () => {
    assert.deepEqual(progress(conditions(reconciling('False', 'Suspended'))), {
      done: true,
      line: 'r2rdeployment "tiny" is suspended by its spec',
    });
    const ill = conditions({ ...ready, status: 'False', reason: 'PodsNotReady', message: '0 of 1' }, reconciling('False', 'UpToDate'));
    assert.deepEqual(progress(ill), { done: true, line: 'r2rdeployment "tiny" successfully rolled out, but not ready: 0 of 1' });
  });

  it('is an error where it does not go on by itself', () => {
    assert.throws(() => progress(stalled), {
      code: 'ROLLOUT_STALLED',
      message: /ImagePullBackOff: image x cannot be pulled; correct the spec/,
    });
    assert.throws(() => progress(paused), { code: 'ROLLOUT_PAUSED', message: /revision b waits.*; set it to Surge or InPlace$/ });
  });
});

describe('a duration of kubectl', () => {
  it('is read', () => {
    assert.deepEqual(['0', '30s', '1h30m', '1.5s', '250ms'].map(goDuration), [0, 30_000, 5_400_000, 1500, 250]);
  });

  it('is refused when it is none', () => {
    for (const text of ['', '30', 's', '-1s', '1d', '1s ', 'ten']) assert.equal(goDuration(text), undefined, text);
  });
});

describe('the history of revisions', () => {
  const deployment = (status: R2RDeploymentStatus): R2RDeployment => ({
    ...stored('tiny', { slm: { model: '/slm' }, llm: { model: '/llm-3', image: 'engine:3' } }),
    status,
  });
  const history = [
    { revision: 'bbbbbbbb', servedSince: '2026-01-01T00:00:00Z', slm: '/slm', llm: '/llm-2', changeCause: 'larger LLM' },
    { revision: 'aaaaaaaa', servedSince: '2025-12-25T00:00:00Z' },
  ];

  it('has the one that waits or comes, the one that serves, and those before', () => {
    assert.deepEqual(historyText(deployment({ history, revision: { serving: 'bbbbbbbb', target: 'cccccccc' } }), now), [
      'REVISION   STATE     SINCE   SLM    LLM                 CHANGE-CAUSE',
      'cccccccc   Target    -       /slm   /llm-3 (engine:3)   <none>',
      'bbbbbbbb   Serving   24h     /slm   /llm-2              larger LLM',
      'aaaaaaaa             8d      -      -                   <none>',
    ]);
  });

  it('is empty before the operator has looked', () => {
    assert.deepEqual(historyText(deployment({}), now), ['nothing is known yet: the operator has not looked at it']);
  });
});

describe('kubectl r2r rollout on a real API server', function () {
  this.timeout(120_000);
  let server: ApiServer;
  let namespace: string;
  let kubeconfig: string;

  before(async () => {
    server = await apiServer();
    namespace = await server.namespace('rollout');
    kubeconfig = (await controlPlane()).kubeconfigFile;
  });
  after(() => server.close());

  const tells = async (name: string, status: object): Promise<void> => {
    const path = `${resourcePath(namespace, name)}/status`;
    const answer = await server.send('PATCH', path, { status }, 'application/merge-patch+json');
    assert.equal(answer.status, 200, answer.body.message);
  };
  const make = async (name: string, status: object): Promise<void> => {
    const made = await server.send('POST', resourcePath(namespace), manifest(name, namespace));
    assert.equal(made.status, 201, made.body.message);
    await tells(name, status);
  };
  const start = (...args: readonly string[]) => {
    const program = join(import.meta.dirname, '../../src/cli/kubectl-r2r.ts');
    const child = spawn(process.execPath, [program, 'rollout', ...args, '-n', namespace], {
      env: { ...process.env, KUBECONFIG: kubeconfig },
    });
    const output = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) child[stream].on('data', (chunk: Buffer) => (output[stream] += chunk.toString()));
    const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, ...output }));
    return { child, ended };
  };
  const run = (...args: readonly string[]) => start(...args).ended;

  it('waits until it is rolled out and ends with 0', async () => {
    await make('waited', underWay);
    const { child, ended } = start('status', 'r2r/waited', '--timeout=60s');
    await once(child.stdout, 'data');
    await tells('waited', rolledOut);
    const { code, stdout, stderr } = await ended;
    assert.equal(code, 0, stderr);
    const lines = stdout.trim().split('\n');
    assert.match(lines[0] ?? '', /^Waiting for r2rdeployment "waited" rollout to finish: revision b/);
    assert.equal(lines.at(-1), 'r2rdeployment "waited" successfully rolled out');
  });

  it('ends with 1 and the reason when it is stalled, paused, late or not there', async () => {
    await make('bad', stalled);
    await make('held', paused);
    await make('slow', underWay);
    for (const [args, error] of [
      [['bad'], /bad" is stalled: ImagePullBackOff/],
      [['held'], /revision b waits/],
      [['slow', '--timeout=1s'], /timed out/],
      [['nobody'], /there is no R2RDeployment "nobody" in namespace rollout-/],
    ] as const) {
      const { code, stderr } = await run('status', ...args);
      assert.equal(code, 1);
      assert.match(stderr, error);
    }
  });

  it('tells the state of now with --watch=false', async () => {
    await make('peeked', underWay);
    const { code, stdout } = await run('status', 'peeked', '--watch=false');
    assert.equal(code, 0);
    assert.match(stdout, /^Waiting for r2rdeployment "peeked"/);
  });

  it('ends with 2 for a wrong command line', async () => {
    for (const args of [['status'], ['status', 'a', 'b'], ['status', 'a', '--timeout', 'soon'], ['history', 'a', '-o', 'yaml']])
      assert.equal((await run(...args)).code, 2, args.join(' '));
  });

  it('prints the history, also as JSON', async () => {
    const history = [{ revision: 'aaaaaaaa', servedSince: '2026-01-01T00:00:00Z', slm: '/models/slm', llm: '/models/llm' }];
    await make('past', { history, revision: { serving: 'aaaaaaaa', target: 'aaaaaaaa' } });
    assert.match((await run('history', 'past')).stdout, /aaaaaaaa +Serving +\d+d +\/models\/slm +\/models\/llm +<none>/);
    const rows = JSON.parse((await run('history', 'past', '-o', 'json')).stdout) as unknown[];
    assert.deepEqual(rows, [{ ...history[0], state: 'Serving' }]);
  });
});
