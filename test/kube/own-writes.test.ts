import assert from 'node:assert/strict';
import { OwnWrites } from '../../src/kube/index.ts';
import type { KubeObject, Live } from '../../src/kube/index.ts';

const object = (resourceVersion: string, uid = 'a'): Live => ({
  apiVersion: 'test.example/v1',
  kind: 'Gadget',
  metadata: { namespace: 'default', name: 'one', uid, resourceVersion },
});

describe('writes that the watch has yet to tell', () => {
  it('are newer than what the cache has, until the watch has overtaken them', () => {
    const writes = new OwnWrites<KubeObject>();
    const [old, written, newer] = [object('9'), object('10'), object('11')];
    assert.equal(writes.latest(old), old);
    writes.written(written);
    assert.equal(writes.latest(old), written);
    assert.equal(writes.latest(old), written);
    assert.equal(writes.latest(newer), newer);
    // forgotten: an older state than that could come no more
    assert.equal(writes.latest(old), old);
  });

  it('are of no use for an object made again under the same name', () => {
    const writes = new OwnWrites<KubeObject>();
    writes.written(object('10'));
    const again = object('9', 'b');
    assert.equal(writes.latest(again), again);
    assert.equal(writes.latest(object('8')).metadata.resourceVersion, '8');
  });

  it('are the same thing as what the watch tells, once it does', () => {
    const writes = new OwnWrites<KubeObject>();
    writes.written(object('10'));
    const told = object('10');
    assert.equal(writes.latest(told), told);
  });
});
