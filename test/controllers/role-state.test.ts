import assert from 'node:assert/strict';
import { roleState } from '../../src/controllers/role-state.ts';
import type { Workload } from '../../src/controllers/role-state.ts';
import type { Pod } from '../../src/kube/resources.ts';

const workload = (kind = 'Deployment'): Workload => ({
  apiVersion: 'apps/v1',
  kind,
  metadata: { name: 'demo-llm', generation: 1 },
  spec: { replicas: 2 },
  status: { observedGeneration: 1, replicas: 2, updatedReplicas: 2, readyReplicas: 2 },
});
const pod = (ready: boolean, metadata: Pod['metadata'] = {}): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata,
  status: { conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
});

describe('the state of a role', () => {
  it('is complete when the Deployment counts its replicas as ready and its pods are', () => {
    const { ready, complete } = roleState(2, workload(), [pod(true), pod(true)]);
    assert.deepEqual([ready, complete], [2, true]);
  });

  it('counts no pod as ready that is not, is ending or is gone, whatever the Deployment still counts', () => {
    for (const others of [[pod(false)], [pod(true, { deletionTimestamp: '2026-11-29T12:00:00Z' })], []]) {
      const { ready, complete } = roleState(2, workload(), [pod(true), ...others]);
      assert.deepEqual([ready, complete], [1, false]);
    }
  });

  it('counts the groups of a LeaderWorkerSet, not their pods', () => {
    const { ready, complete } = roleState(2, workload('LeaderWorkerSet'), [pod(true), pod(true), pod(true), pod(false)]);
    assert.deepEqual([ready, complete], [2, true]);
  });
});
