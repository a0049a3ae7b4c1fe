import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Registry } from 'prom-client';
import {
  anyChange,
  beyondStatus,
  configMaps,
  Controller,
  Informer,
  KubeMetrics,
  pods,
  TerminalError,
  type ControllerOptions,
  type ObjectKey,
  type Reconcile,
} from '../../src/kube/index.ts';
import { until } from '../cluster/progress.ts';
import { FakeApiServer, FakePods, pod } from './fake-api-server.ts';
import { complaints } from './recorder.ts';

const eventually = (what: string, test: () => boolean): Promise<unknown> => until(what, 20_000, () => Promise.resolve(test()), 5);
const x: ObjectKey = { namespace: 'a', name: 'x' };

interface Running extends AsyncDisposable {
  readonly controller: Controller;
  readonly metrics: () => Promise<string>;
}

function running(reconcile: Reconcile, options: Partial<ControllerOptions> = {}): Running {
  const registry = new Registry();
  const stop = new AbortController();
  const controller = new Controller({ name: 'test', reconcile, metrics: new KubeMetrics(registry), ...options });
  const run = controller.run(stop.signal);
  const asyncDispose = async (): Promise<void> => {
    stop.abort();
    await run;
  };
  return { controller, metrics: () => registry.metrics(), [Symbol.asyncDispose]: asyncDispose };
}

describe('controller', () => {
  it('reconciles a failing key again after a growing pause, until it succeeds', async () => {
    const times: number[] = [];
    await using stage = running(() => {
      times.push(performance.now());
      return times.length < 5 ? Promise.reject(new Error('not yet')) : Promise.resolve(undefined);
    });
    stage.controller.enqueue(x);
    await eventually('five attempts', () => times.length === 5);
    const pauses = times.slice(1).map((at, i) => at - times[i]!);
    // 5, 10, 20, 40 ms; a busy machine only makes them longer
    assert.ok(
      pauses.every((pause, i) => pause >= 5 * 2 ** i - 2),
      pauses.join(),
    );
    await eventually('the end of the last', () => times.length === 5);
    const text = await stage.metrics();
    assert.match(text, /controller_runtime_reconcile_total\{controller="test",result="error"\} 4/);
    assert.match(text, /controller_runtime_reconcile_total\{controller="test",result="success"\} 1/);
    assert.match(text, /workqueue_retries_total\{name="test"\} 4/);
  });

  it('does not retry a TerminalError, and tries again at the next event', async () => {
    let calls = 0;
    await using stage = running(() => {
      calls += 1;
      return Promise.reject(new TerminalError('spec.model: no such thing'));
    });
    stage.controller.enqueue(x);
    await eventually('one call', () => calls === 1);
    await new Promise((resolve) => setTimeout(resolve, 100)); // a retry would come after 5 ms
    assert.equal(calls, 1);
    stage.controller.enqueue(x);
    await eventually('the second', () => calls === 2);
    assert.match(await stage.metrics(), /controller_runtime_terminal_reconcile_errors_total\{controller="test"\} [12]/);
  });

  it('comes back after requeueAfterMs', async () => {
    const times: number[] = [];
    await using stage = running(() => {
      times.push(performance.now());
      return Promise.resolve(times.length === 1 ? { requeueAfterMs: 60 } : undefined);
    });
    stage.controller.enqueue(x);
    await eventually('two calls', () => times.length === 2);
    assert.ok(times[1]! - times[0]! >= 55);
    assert.match(await stage.metrics(), /result="requeue_after"\} 1/);
  });

  it('works on several keys at once, never on one key twice', async () => {
    const busy = new Set<string>();
    let most = 0;
    let calls = 0;
    await using stage = running(
      async ({ name }) => {
        assert.ok(!busy.has(name), 'twice at once');
        busy.add(name);
        most = Math.max(most, busy.size);
        calls += 1;
        await new Promise((resolve) => setTimeout(resolve, 5));
        busy.delete(name);
        return undefined;
      },
      { concurrency: 4 },
    );
    for (let i = 0; i < 200; i++) {
      stage.controller.enqueue({ namespace: 'a', name: `n${i % 6}` });
      if (i % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await eventually('quiet', () => busy.size === 0 && calls >= 12);
    assert.equal(most, 4);
    assert.doesNotMatch(await stage.metrics(), /result="error"/);
  });

  it('aborts a reconcile at its deadline, tries it again, and tells of one that ignores that', async () => {
    const reasons: unknown[] = [];
    let stuck: (() => void) | undefined;
    await using stage = running(
      async (_, signal) => {
        if (reasons.length > 0) {
          await new Promise<void>((resolve) => (stuck = resolve));
          return undefined;
        }
        await once(signal, 'abort');
        reasons.push(signal.reason);
        throw signal.reason;
      },
      { deadlineMs: 30 },
    );
    stage.controller.enqueue(x);
    await eventually('a second, stuck attempt', () => stuck !== undefined);
    assert.match(String(reasons[0]), /reconcile of a\/x: no answer within 30 ms/);
    await eventually('the complaint', () => stage.controller.problem !== undefined);
    assert.match(stage.controller.problem ?? '', /controller test: reconcile of a\/x hangs/);
    stuck!();
    await eventually('health', () => stage.controller.problem === undefined);
  });

  it('ends only when the reconcile under way has ended, and counts its abort as no failure', async () => {
    const { lines, logger } = complaints();
    const stop = new AbortController();
    let ended = false;
    let started = false;
    const controller = new Controller({
      name: 'test',
      logger,
      reconcile: async (_, signal) => {
        started = true;
        await once(signal, 'abort');
        await new Promise((resolve) => setTimeout(resolve, 30));
        ended = true;
        throw signal.reason;
      },
    });
    const run = controller.run(stop.signal);
    controller.enqueue(x);
    await eventually('a reconcile', () => started);
    stop.abort();
    await run;
    assert.equal(ended, true);
    assert.deepEqual(lines, []);
  });

  it('enqueues an object for its own events, and the owner for those of its children, but not a stranger', async () => {
    const api = new FakePods();
    const owned = (kind: string, apiVersion = 'v1'): object => ({
      ownerReferences: [{ apiVersion, kind, name: 'parent', uid: 'u', controller: true }],
    });
    api.objects = [
      pod('x', 1),
      pod('child', 2, 'uid-child', owned('ConfigMap')),
      pod('foreign', 3, 'uid-f', owned('ConfigMap', 'other/v1')),
    ];
    await using server = await FakeApiServer.start(api.answer);
    await using client = server.client();
    await using informer = new Informer(client, pods);
    informer.start();
    await eventually('a watch', () => api.watches.length === 1);
    const seen: string[] = [];
    const parents: string[] = [];
    const collect =
      (into: string[]): Reconcile =>
      ({ namespace, name }) => {
        into.push(`${namespace ?? ''}/${name}`);
        return Promise.resolve(undefined);
      };
    const stop = new AbortController();
    const own = new Controller({ name: 'own', reconcile: collect(seen) }).watch(informer, beyondStatus);
    const parent = new Controller({ name: 'parent', reconcile: collect(parents) }).owns(informer, configMaps, anyChange);
    const runs = [own.run(stop.signal), parent.run(stop.signal)];
    await eventually('the start', () => seen.length === 3 && parents.length === 1);
    assert.deepEqual([seen.sort(), parents], [['a/child', 'a/foreign', 'a/x'], ['a/parent']]);
    seen.length = parents.length = 0;
    api.tell('MODIFIED', pod('child', 4, 'uid-child', { ...owned('ConfigMap'), generation: undefined }));
    await eventually('the parent', () => parents.length === 1);
    assert.deepEqual(seen, [], 'a status-only change is not worth a reconcile');
    api.tell('MODIFIED', pod('x', 5, 'uid-x', { labels: { new: 'label' } }));
    api.tell('DELETED', pod('foreign', 6, 'uid-f', owned('ConfigMap', 'other/v1')));
    await eventually('both', () => seen.length === 2);
    assert.deepEqual(seen, ['a/x', 'a/foreign']);
    // a child that changes hands concerns both owners
    parents.length = 0;
    api.tell(
      'MODIFIED',
      pod('child', 7, 'uid-child', {
        ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'next', uid: 'v', controller: true }],
      }),
    );
    await eventually('both owners', () => parents.length === 2);
    assert.deepEqual(parents, ['a/parent', 'a/next']);
    stop.abort();
    await Promise.all(runs);
  });
});
