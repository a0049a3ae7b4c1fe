import assert from 'node:assert/strict';
import fc from 'fast-check';
import { SharedParts } from '../../src/kube/shared.ts';

const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

describe('shared parts', () => {
  const owned = { 'f:spec': { 'f:replicas': {} } };

  it('are one object where they are equal, and another where they are not', () => {
    const parts = new SharedParts();
    const one = parts.of(copy(owned));
    assert.equal(parts.of(copy(owned)), one);
    assert.notEqual(parts.of({ 'f:spec': { 'f:template': {} } }), one);
    assert.ok(Object.isFrozen(one['f:spec']));
  });

  it('are found in objects that differ in other parts', () => {
    const parts = new SharedParts();
    const container = { name: 'a', resources: { limits: { cpu: '1' } }, args: ['--port', '80'] };
    const one = parts.of({ name: 'one', containers: [copy(container)] });
    const other = parts.of({ name: 'other', containers: [copy(container)] });
    assert.notEqual(one, other);
    assert.equal(one.containers, other.containers);
  });

  it('are not mixed up: text and number, list and object, null and absent, a part and what looks like its place', () => {
    const parts = new SharedParts();
    const different = [
      { a: '1' },
      { a: 1 },
      { a: null },
      { a: 'null' },
      {},
      [],
      [[]],
      { 0: 1 },
      [1],
      { a: true },
      { a: 'true' },
      { a: '#1' },
      { a: {} },
    ];
    for (const each of different) assert.deepEqual(parts.of(copy(each)), each);
    for (const each of different) assert.deepEqual(parts.of(copy(each)), each);
  });

  it('say what they said before, whatever they are', () => {
    const parts = new SharedParts(50);
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const before = JSON.stringify(value);
        assert.equal(JSON.stringify(parts.of(JSON.parse(before) as unknown)), before);
        assert.equal(JSON.stringify(parts.of(JSON.parse(before) as unknown)), before);
      }),
    );
  });

  it('are shared within an object that is too long itself', () => {
    const parts = new SharedParts();
    const long = { data: 'x'.repeat(5000), owner: { uid: 'a' } };
    const [one, other] = [parts.of(copy(long)), parts.of(copy(long))];
    assert.notEqual(one, other);
    assert.equal(one.owner, other.owner);
    assert.deepEqual(other, long);
  });

  it('are kept while they are asked for, however many others come and go', () => {
    const parts = new SharedParts(100);
    const one = parts.of(copy(owned));
    for (let index = 0; index < 1200; index++) {
      assert.deepEqual(parts.of({ [`f:${index}`]: {} }), { [`f:${index}`]: {} });
      if (index % 20 === 0) assert.equal(parts.of(copy(owned)), one);
    }
  });
});
