import assert from 'node:assert/strict';
import fc from 'fast-check';
import { roundToBfloat16, roundToFloat16 } from '../../src/model/number-formats.ts';
import { packIntegers, packVector, unpackIntegers, unpackVector } from '../../src/pipeline/vectors.ts';

describe('vectors as bytes', () => {
  const vectors = fc.array(fc.float({ noNaN: true }), { maxLength: 20 }).map((values) => Float32Array.from(values));
  const rounded = { float32: (each: Float32Array) => each, bfloat16: roundToBfloat16, float16: roundToFloat16 };
  for (const [type, bytes] of [
    ['float32', 4],
    ['bfloat16', 2],
    ['float16', 2],
  ] as const)
    it(`keep what is ${type}, and round the rest`, () => {
      fc.assert(
        fc.property(vectors, (values) => {
          const packed = packVector(values, type);
          assert.equal(packed.byteLength, bytes * values.length);
          assert.deepEqual(unpackVector(packed, type), rounded[type](Float32Array.from(values)));
        }),
        { numRuns: 300, seed: 1 },
      );
    });

  it('keep every float16 there is', () => {
    const bits = Uint16Array.from({ length: 65_536 }, (_, index) => index).filter(
      (each) => (each & 0x7c00) !== 0x7c00 || (each & 0x3ff) === 0,
    );
    const bytes = new Uint8Array(bits.buffer);
    assert.deepEqual(packVector(unpackVector(bytes, 'float16'), 'float16'), bytes);
  });

  it('keep integers', () => {
    const values = [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)];
    assert.deepEqual([...unpackIntegers(packIntegers(values))], values);
  });
});
