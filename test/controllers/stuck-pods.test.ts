import assert from 'node:assert/strict';
import { isStuck } from '../../src/controllers/stuck-pods.ts';

describe('a pod that is ending', () => {
  const now = new Date('2026-01-01T00:10:00Z');
  const pod = (deletionTimestamp?: string) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', uid: 'u', resourceVersion: '1', ...(deletionTimestamp !== undefined && { deletionTimestamp }) },
  });

  it('is waited for until a minute after its grace period, and then no more', () => {
    assert.equal(isStuck(pod(), now), false);
    assert.equal(isStuck(pod('2026-01-01T00:15:00Z'), now), false, 'it has five more minutes');
    assert.equal(isStuck(pod('2026-01-01T00:09:30Z'), now), false);
    assert.equal(isStuck(pod('2026-01-01T00:08:59Z'), now), true);
  });
});
