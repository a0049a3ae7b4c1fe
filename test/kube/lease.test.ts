import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { LeaderElector, LeadershipLostError, leases, type KubeClient, type LeaderElectorOptions } from '../../src/kube/index.ts';
import { controlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/progress.ts';
import { adminClient, newNamespace, startMs, Wire } from './real-server.ts';

const times = { leaseMs: 2000, renewDeadlineMs: 1500, retryMs: 300 };
const untilAborted = (signal: AbortSignal): Promise<unknown> => once(signal, 'abort');

describe('leader election on a real API server', function () {
  this.timeout(startMs);
  let client: KubeClient;
  let namespace: string;
  const children: ChildProcess[] = [];

  before(async () => {
    client = await adminClient();
    namespace = await newNamespace(client);
  });
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    await client.close();
  });

  const elector = (name: string, identity: string, more: Partial<LeaderElectorOptions> = {}): LeaderElector =>
    new LeaderElector({ client, namespace, name, identity, ...times, ...more });
  const start = async (name: string, identity: string): Promise<ChildProcess> => {
    const { kubeconfigFile } = await controlPlane();
    const script = join(import.meta.dirname, 'elector-process.ts');
    const child = spawn(process.execPath, [script, kubeconfigFile, namespace, name, identity], { stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    return child;
  };

  it('D13 (a Date is refused): writes MicroTimes that the server accepts, and renews in place', async () => {
    const stop = new AbortController();
    const one = elector('micro', 'one');
    const run = one.run(stop.signal, async () => {
      const first = await client.get(leases, { namespace, name: 'micro' });
      assert.match(first.spec?.renewTime ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
      assert.equal(first.spec?.holderIdentity, 'one');
      const renewed = await until('a renewal', 20_000, async () => {
        const now = await client.get(leases, { namespace, name: 'micro' });
        return now.spec?.renewTime !== first.spec?.renewTime && now;
      });
      assert.equal(renewed.spec?.acquireTime, first.spec.acquireTime);
      assert.equal(renewed.spec?.leaseTransitions, 0);
      stop.abort();
    });
    await run;
    assert.equal(one.isLeader, false);
  });

  it('a released lease is taken over at once, and never do two lead at the same time', async () => {
    const stops = [new AbortController(), new AbortController()];
    let leading = 0;
    const order: string[] = [];
    const lead = (name: string) => async (signal: AbortSignal) => {
      leading += 1;
      assert.equal(leading, 1);
      order.push(name);
      await untilAborted(signal);
      await new Promise((resolve) => setTimeout(resolve, 200)); // work that ends a little after it is told to
      leading -= 1;
    };
    // a lease much longer than the test's patience: only a release can hand it over
    const slow = { leaseMs: 60_000, renewDeadlineMs: 40_000, retryMs: 200 };
    const runs = ['one', 'two'].map((name, i) => elector('released', name, slow).run(stops[i]!.signal, lead(name)));
    await until('a leader', 20_000, () => Promise.resolve(order.length === 1));
    stops[order[0] === 'one' ? 0 : 1]!.abort();
    await until('the other', 20_000, () => Promise.resolve(order.length === 2));
    for (const stop of stops) stop.abort();
    await Promise.all(runs);
    assert.notEqual(order[0], order[1]);
    const { spec } = await client.get(leases, { namespace, name: 'released' });
    assert.deepEqual([spec?.holderIdentity, spec?.leaseTransitions], ['', 1]);
  });

  it('a killed holder is followed by another process once its lease has run out, not before', async () => {
    const first = await start('killed', 'first');
    await once(first.stdout!, 'data');
    const second = await start('killed', 'second');
    let leads = false;
    second.stdout!.once('data', () => (leads = true));
    // the second sees renewals for longer than a lease lasts, and stays a follower
    const { spec } = await client.get(leases, { namespace, name: 'killed' });
    await until('renewals', 60_000, async () => {
      const now = await client.get(leases, { namespace, name: 'killed' });
      return Date.parse(now.spec?.renewTime ?? '') - Date.parse(spec?.renewTime ?? '') > 3000;
    });
    assert.equal(leads, false);
    first.kill('SIGKILL');
    await until('the second leads', 60_000, () => Promise.resolve(leads));
    const after = await client.get(leases, { namespace, name: 'killed' });
    assert.deepEqual([after.spec?.holderIdentity, after.spec?.leaseTransitions], ['second', 1]);
    second.kill('SIGTERM');
    const [code] = (await once(second, 'exit')) as [number | null];
    assert.equal(code, 0);
    assert.equal((await client.get(leases, { namespace, name: 'killed' })).spec?.holderIdentity, '');
  });

  it('a leader cut off from the server stops within the renew deadline, before its lease has run out for others', async () => {
    await using wire = await Wire.open();
    await using cutOff = await wire.client();
    const stop = new AbortController();
    let cutAt = 0;
    const run = elector('cut', 'one', { client: cutOff }).run(stop.signal, async (signal) => {
      wire.cut();
      cutAt = performance.now();
      await untilAborted(signal);
      assert.ok(signal.reason instanceof LeadershipLostError);
    });
    await assert.rejects(run, LeadershipLostError);
    const tookMs = performance.now() - cutAt;
    assert.ok(tookMs < times.leaseMs, `${tookMs} ms`);
  });

  it('a leader whose lease another has taken stops at once', async () => {
    const stop = new AbortController();
    const run = elector('stolen', 'one').run(stop.signal, async (signal) => {
      const spec = { holderIdentity: 'thief', leaseTransitions: 9 };
      await client.patch(leases, { namespace, name: 'stolen' }, { spec });
      await untilAborted(signal);
    });
    await assert.rejects(run, LeadershipLostError);
    assert.equal((await client.get(leases, { namespace, name: 'stolen' })).spec?.holderIdentity, 'thief');
  });

  it('a deleted lease is made again by its leader, who goes on', async () => {
    const stop = new AbortController();
    await elector('deleted', 'one').run(stop.signal, async () => {
      assert.equal(await client.delete(leases, { namespace, name: 'deleted' }), true);
      await until('the lease', 20_000, () => client.find(leases, { namespace, name: 'deleted' }));
      stop.abort();
    });
  });

  it('an error of the work releases the lease and is passed on', async () => {
    const boom = new Error('boom');
    await assert.rejects(
      elector('error', 'one').run(new AbortController().signal, () => Promise.reject(boom)),
      boom,
    );
    assert.equal((await client.get(leases, { namespace, name: 'error' })).spec?.holderIdentity, '');
  });

  it('refuses durations that cannot work together, naming them', () => {
    assert.throws(() => elector('x', 'x', { leaseMs: 1000, renewDeadlineMs: 1000 }), /renewDeadlineMs: 1000 must be less than leaseMs/);
    assert.throws(() => elector('x', 'x', { retryMs: 1500 }), /retryMs: 1500/);
    assert.throws(() => elector('x', 'x', { leaseMs: 1500 }), /leaseMs: 1500 must be whole seconds/);
  });
});
