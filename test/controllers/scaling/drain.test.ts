import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { RouterStatus } from '../../../src/api/router-status.ts';
import { drainMarks, reportOf, routersThatMayCall, toldRouters } from '../../../src/controllers/scaling/drain.ts';
import type { Live } from '../../../src/kube/index.ts';
import type { ConfigMap, Pod } from '../../../src/kube/resources.ts';

const none = { slm: 0, llm: 0, fallback: 0 };
const router = (llmEndpoints: RouterStatus['llmEndpoints'], configDigest = 'd'): RouterStatus => ({
  configDigest,
  strategy: 'neural',
  alarms: [],
  waitingFor: [],
  inFlight: 0,
  tokensTotal: none,
  window: { seconds: 60, tokens: none, tokensPerSecond: 0 },
  parameters: {},
  llmEndpoints,
});
const endpoint = (podUID: string, draining: boolean, inFlight: number) => ({
  podUID,
  address: 'http://x',
  ready: !draining,
  draining,
  inFlight,
});
const told = { drainingPodUIDs: ['a', 'b'], llmScaledToZero: false, digest: 'd' };
const pod = (uid: string, metadata: object = {}, status: object = {}): Live<Pod> => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: `pod-${uid}`, uid, resourceVersion: '1', ...metadata },
  status,
});

describe('what is known of a drain', () => {
  it('takes a router at its word about pods that it knows', () => {
    const report = reportOf('r', router([endpoint('a', true, 2), endpoint('c', false, 1)]), told);
    assert.deepEqual(report.inFlight, { a: 2, c: 1 });
    assert.ok(report.draining.includes('a') && !report.draining.includes('c'));
  });

  it('takes a pod that a router does not know for drained there only once it has read the list', () => {
    assert.deepEqual(reportOf('r', router([endpoint('a', true, 0)]), told).draining, ['a', 'b']);
    assert.deepEqual(reportOf('r', router([endpoint('a', true, 0)], 'older'), told).draining, ['a']);
  });

  it('asks the routers of ending pods, too, as long as they run', () => {
    const status = { podIP: '10.0.0.1', containerStatuses: [{ name: 'router', state: { running: {} } }] };
    const ending = pod('a', { deletionTimestamp: '2026-01-01T00:00:00Z' }, status);
    const ended = pod('b', {}, { ...status, containerStatuses: [{ name: 'router', state: { terminated: {} } }] });
    assert.deepEqual(routersThatMayCall([ending, ended, pod('c')]), [{ name: 'pod-a', address: '10.0.0.1' }]);
  });

  it('reads marks from the list, their age from the status, and the cost from the pod', () => {
    const marked = pod('a', { annotations: { 'controller.kubernetes.io/pod-deletion-cost': '-1000' } });
    const before = [{ pod: 'pod-a', uid: 'a', since: '1970-01-01T00:00:05Z' }];
    assert.deepEqual(drainMarks([marked, pod('b'), pod('c')], told, before, 9_000), [
      { id: 'a', sinceMs: 5_000, costSet: true },
      { id: 'b', sinceMs: 9_000, costSet: false },
    ]);
  });

  it('reads what the routers were told, with the digest that they report', () => {
    const read = (text: string) => toldRouters({ apiVersion: 'v1', kind: 'ConfigMap', data: { 'router.json': text } });
    const busy = read('{"drainingPodUIDs":["a"],"llmScaledToZero":true}');
    assert.deepEqual([busy.drainingPodUIDs, busy.llmScaledToZero], [['a'], true]);
    const quiet = read('{"drainingPodUIDs":[]}');
    assert.deepEqual([quiet.drainingPodUIDs, quiet.llmScaledToZero], [[], false]);
    assert.equal(quiet.digest, createHash('sha256').update('{"drainingPodUIDs":[]}').digest('hex'));
    assert.deepEqual(read('{"drainingPodUIDs":[],"llmScaledToZero":true}').llmScaledToZero, true);
  });

  it('survives a configuration that was edited by hand', () => {
    for (const text of [undefined, '', '{', '{"drainingPodUIDs": 5}', 'null']) {
      const map = { data: { 'router.json': text } } as unknown as ConfigMap;
      assert.deepEqual(toldRouters(map).drainingPodUIDs, []);
    }
  });
});
