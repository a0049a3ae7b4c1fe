import assert from 'node:assert/strict';
import type { R2RDeploymentStatus } from '../../src/api/r2rdeployment-status.ts';
import { StatusPace, isProgressOnly, progressWriteMs } from '../../src/controllers/status-pace.ts';

type Conditions = NonNullable<R2RDeploymentStatus['conditions']>;

const condition = (type: Conditions[number]['type'], status: 'True' | 'False', reason: string, message = ''): Conditions[number] => ({
  type,
  status,
  reason,
  message,
  observedGeneration: 1,
  lastTransitionTime: '2026-01-01T00:00:00Z',
});
const starting: R2RDeploymentStatus = {
  observedGeneration: 1,
  conditions: [condition('Ready', 'False', 'PodsNotReady', 'none yet'), condition('LLMReady', 'False', 'PodsNotReady')],
  slm: { replicas: 1, readyReplicas: 0, updatedReplicas: 1 },
};
const morePods: R2RDeploymentStatus = {
  ...starting,
  conditions: [condition('Ready', 'False', 'PodsNotReady', 'one of two'), condition('LLMReady', 'True', 'UpToDate')],
  slm: { replicas: 2, readyReplicas: 1, updatedReplicas: 2 },
};
const ready: R2RDeploymentStatus = { ...morePods, conditions: [condition('Ready', 'True', 'Serving')] };

describe('the pace of status writes', () => {
  it('tells progress from what the deployment as a whole says', () => {
    assert.equal(isProgressOnly(starting, morePods), true);
    assert.equal(isProgressOnly(starting, ready), false);
    assert.equal(isProgressOnly(starting, { ...starting, observedGeneration: 2 }), false);
    assert.equal(isProgressOnly(undefined, starting), false);
  });

  it('holds progress back for a while after a write, and nothing else', () => {
    const pace = new StatusPace();
    assert.equal(pace.waitMs('a', 1_000, starting, morePods), 0, 'after a quiet time');
    pace.written('a', 1_000);
    assert.equal(pace.waitMs('a', 2_000, starting, morePods), progressWriteMs - 1_000);
    assert.equal(pace.waitMs('a', 2_000, starting, ready), 0);
    assert.equal(pace.waitMs('a', 2_000, starting, structuredClone(starting)), 0, 'nothing to write');
    assert.equal(pace.waitMs('b', 2_000, starting, morePods), 0);
    assert.equal(pace.waitMs('a', 1_000 + progressWriteMs, starting, morePods), 0);
  });
});
