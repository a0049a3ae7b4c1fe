import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  configMaps,
  Controller,
  ensureApplied,
  leases,
  LeadershipLostError,
  Manager,
  type ConfigMap,
  type KubeClient,
  type Live,
} from '../../src/kube/index.ts';
import { until } from '../cluster/progress.ts';
import { complaints } from './recorder.ts';
import { adminClient, newNamespace, startMs } from './real-server.ts';

const election = { name: 'operator', leaseMs: 5000, renewDeadlineMs: 4000, retryMs: 200 };

/** A tiny operator: for every ConfigMap labelled `copy: yes` it keeps a copy named `<name>-copy`. */
function copier(client: KubeClient, namespace: string, identity: string): { manager: Manager; reconciled: string[] } {
  const manager = new Manager({ client, election: { ...election, namespace, identity } });
  const originals = manager.informer(configMaps, { namespace, labelSelector: 'copy=yes' });
  const copies = manager.informer(configMaps, { namespace, labelSelector: 'copied=yes' });
  const reconciled: string[] = [];
  const controller = new Controller({
    name: 'copier',
    backoffMs: { first: 5, longest: 100 },
    reconcile: async (key, signal) => {
      reconciled.push(key.name);
      const original = originals.get(key);
      if (!original) return undefined;
      const metadata = { name: `${key.name}-copy`, namespace, labels: { copied: 'yes' } };
      const desired = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: original.data };
      await ensureApplied(client, configMaps, desired, copies.get({ namespace, name: metadata.name }), { signal });
      return undefined;
    },
  });
  const original = ({ metadata }: Live<ConfigMap>): { namespace: string; name: string }[] => [
    { namespace, name: metadata.name.replace(/-copy$/, '') },
  ];
  manager.add(controller.watch(originals).follow(copies, original));
  return { manager, reconciled };
}

describe('manager on a real API server', function () {
  this.timeout(startMs);
  let client: KubeClient;

  before(async () => (client = await adminClient()));
  after(() => client.close());

  it('runs a small operator: creates, heals edits and deletions, sleeps when all is well, hands over to a second replica', async () => {
    const namespace = await newNamespace(client);
    const data = (name: string): Promise<unknown> => client.find(configMaps, { namespace, name }).then((found) => found?.data);
    const is = (name: string, wanted: string) => async () => JSON.stringify(await data(name)) === JSON.stringify({ a: wanted });
    const make = (a: string): Promise<unknown> =>
      client.apply(configMaps, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'one', namespace, labels: { copy: 'yes' } },
        data: { a },
      });
    const first = copier(client, namespace, 'first');
    const stops = [new AbortController(), new AbortController()];
    const firstRun = first.manager.run(stops[0]!.signal);
    await make('1');
    await until('the copy', 30_000, is('one-copy', '1'));
    assert.deepEqual([first.manager.ready, first.manager.isLeader, first.manager.problem], [true, true, undefined]);

    const second = copier(client, namespace, 'second');
    const secondRun = second.manager.run(stops[1]!.signal);
    await until('a warm second replica', 30_000, () => Promise.resolve(second.manager.ready));

    await client.delete(configMaps, { namespace, name: 'one-copy' });
    await until('the copy again', 30_000, is('one-copy', '1'));
    await client.patch(configMaps, { namespace, name: 'one-copy' }, { data: { a: 'edited' } }, { fieldManager: 'person' });
    await until('the copy healed', 30_000, is('one-copy', '1'));
    assert.deepEqual(second.reconciled, [], 'a follower does nothing');

    stops[0]!.abort();
    await firstRun;
    assert.equal(first.manager.isLeader, false);
    await make('2');
    await until('the copy by the second', 30_000, is('one-copy', '2'));
    assert.equal(second.manager.isLeader, true);
    stops[1]!.abort();
    await secondRun;
  });

  it('a lease that another took stops the work, and the same process leads again when it is free', async () => {
    const namespace = await newNamespace(client);
    const manager = new Manager({ client, election: { ...election, namespace, identity: 'one' } });
    const terms: string[] = [];
    manager.addRunnable('works', async (signal) => {
      terms.push('begins');
      await once(signal, 'abort');
      terms.push('ends');
    });
    const stop = new AbortController();
    const run = manager.run(stop.signal);
    await until('a first term', 30_000, () => Promise.resolve(manager.isLeader));
    const lease = { namespace, name: election.name };
    await client.patch(leases, lease, { spec: { holderIdentity: 'thief', leaseDurationSeconds: 1 } });
    await until('the end of it', 30_000, () => Promise.resolve(terms.length >= 2));
    await until('a second term', 30_000, () => Promise.resolve(manager.isLeader && terms.length === 3));
    stop.abort();
    await run;
    assert.deepEqual(terms, ['begins', 'ends', 'begins', 'ends']);
  });

  it('rejects when the work goes on although the lease is lost: only the end of the process stops it', async () => {
    const namespace = await newNamespace(client);
    const manager = new Manager({ client, election: { ...election, namespace, identity: 'one' } });
    manager.addRunnable('does not listen', () => new Promise(() => undefined));
    const run = manager.run(new AbortController().signal);
    await until('a term', 30_000, () => Promise.resolve(manager.isLeader));
    await client.patch(leases, { namespace, name: election.name }, { spec: { holderIdentity: 'thief' } });
    await assert.rejects(run, LeadershipLostError);
  });

  it('rejects when a runnable fails, and only after the others have ended', async () => {
    const manager = new Manager({ client });
    let ended = false;
    manager.addRunnable('works', async (signal) => {
      await once(signal, 'abort');
      ended = true;
    });
    manager.addRunnable('fails', () => Promise.reject(new Error('boom')));
    await assert.rejects(manager.run(new AbortController().signal), /boom/);
    assert.equal(ended, true);
  });

  it('rejects when a runnable ends by itself', async () => {
    const manager = new Manager({ client }).addRunnable('idle', () => Promise.resolve());
    await assert.rejects(manager.run(new AbortController().signal), /idle ended by itself/);
  });

  it('stops quietly when told to before its caches are filled', async () => {
    const { lines, logger } = complaints();
    const nowhere = await adminClient();
    await nowhere.close();
    const manager = new Manager({ client: nowhere, logger });
    manager.informer(configMaps);
    const stop = new AbortController();
    const run = manager.run(stop.signal);
    await until('a failed list', 30_000, () => Promise.resolve(lines.length > 0));
    assert.equal(manager.ready, false);
    stop.abort();
    await run;
    assert.match(lines[0]!, /this client is closed/);
  });
});
