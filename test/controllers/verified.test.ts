import assert from 'node:assert/strict';
import { Verified, digestOf } from '../../src/controllers/verified.ts';
import type { KubeObject, Live } from '../../src/kube/index.ts';

interface Thing extends KubeObject {
  readonly spec?: object;
  readonly status?: object;
}

const thing = (version: number, more: Pick<Thing, 'spec' | 'status'> = {}, metadata: Thing['metadata'] = {}): Live<Thing> => ({
  apiVersion: 'v1',
  kind: 'Thing',
  metadata: { uid: 'u', ...metadata, name: 'x', resourceVersion: String(version) },
  spec: { size: 1 },
  ...more,
});
const reading = (live: Live | undefined) => () => live;

describe('children that were found right', () => {
  const input = digestOf({ size: 1 });
  const kept = (): Verified => {
    const verified = new Verified();
    verified.keep('a', input, [thing(1)], reading(thing(1)));
    return verified;
  };

  it('are so while neither they nor the input change, whatever becomes of their status', () => {
    const verified = kept();
    const later = thing(7, { status: { ready: true } });
    assert.deepEqual(verified.unchanged('a', input, reading(thing(1))), [thing(1)]);
    assert.deepEqual(verified.unchanged('a', input, reading(later)), [later]);
    assert.deepEqual(verified.unchanged('a', input, reading(later)), [later]);
  });

  for (const [what, live] of [
    ['spec', thing(2, { spec: { size: 2 } })],
    ['labels', thing(2, {}, { labels: { by: 'hand' } })],
    ['owned fields', thing(2, {}, { managedFields: [{ manager: 'r2r-operator', operation: 'Apply', fieldsV1: {} }] })],
    ['UID', thing(2, {}, { uid: 'another' })],
  ] as const)
    it(`are looked at again when their ${what} changed`, () => {
      assert.equal(kept().unchanged('a', input, reading(live)), undefined);
    });

  it('are looked at again for another input, another key, when one is gone, and when forgotten', () => {
    const verified = kept();
    assert.equal(verified.unchanged('a', digestOf({ size: 2 }), reading(thing(1))), undefined);
    assert.equal(verified.unchanged('b', input, reading(thing(1))), undefined);
    assert.equal(verified.unchanged('a', input, reading(undefined)), undefined);
    verified.forget('a');
    assert.equal(verified.unchanged('a', input, reading(thing(1))), undefined);
  });

  it('are not remembered while the cache does not have the state that was found', () => {
    const verified = new Verified();
    verified.keep('a', input, [thing(2)], reading(thing(1)));
    assert.equal(verified.unchanged('a', input, reading(thing(1))), undefined);
  });
});
