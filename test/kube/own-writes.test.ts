import assert from 'node:assert/strict';
import { OwnWrites } from '../../src/kube/index.ts';
import type { InformerHandler, KubeObject, Live } from '../../src/kube/index.ts';

const object = (resourceVersion: string, uid = 'a'): Live => ({
  apiVersion: 'test.example/v1',
  kind: 'Gadget',
  metadata: { namespace: 'default', name: 'one', uid, resourceVersion },
});

/** A cache of one object, and its handlers. */
class Told {
  object: Live | undefined;
  #handler: InformerHandler<KubeObject> = {};
  addHandler(handler: InformerHandler<KubeObject>): () => void {
    this.#handler = handler;
    return () => undefined;
  }
  get(): Live | undefined {
    return this.object;
  }
  tell(object: Live): Live {
    const before = this.object;
    this.object = object;
    if (before) this.#handler.onUpdate?.(before, object);
    else this.#handler.onAdd?.(object);
    return object;
  }
  tellDeleted(): void {
    if (this.object) this.#handler.onDelete?.(this.object);
    this.object = undefined;
  }
}

describe('writes that the watch has yet to tell', () => {
  let informer: Told;
  let writes: OwnWrites<KubeObject>;
  beforeEach(() => {
    informer = new Told();
    writes = new OwnWrites<KubeObject>(informer);
  });

  it('are newer than what the cache has, until the watch has overtaken them', () => {
    const old = informer.tell(object('9'));
    assert.equal(writes.latest(old), old);
    const written = object('11');
    writes.written(written);
    assert.equal(writes.latest(old), written);
    const between = informer.tell(object('10'));
    assert.equal(writes.latest(between), written);
    const newer = informer.tell(object('12'));
    assert.equal(writes.latest(newer), newer);
    // forgotten: an older state than that could come no more
    assert.equal(writes.latest(old), old);
  });

  it('are of no use for an object that is gone, or was made again under the same name', () => {
    informer.tell(object('9'));
    writes.written(object('10'));
    const again = informer.tell(object('9', 'b'));
    assert.equal(writes.latest(again), again);
    writes.written(object('10', 'b'));
    informer.tellDeleted();
    assert.equal(writes.latest(again), again);
  });

  it('are not kept once the watch has told them, whether it did so before or after the answer to the write', () => {
    const before = informer.tell(object('9'));
    writes.written(object('10'));
    const told = informer.tell(object('10'));
    assert.equal(writes.latest(told), told);
    informer.tell(object('11'));
    writes.written(object('11'));
    assert.equal(writes.latest(before), before);
  });
});
