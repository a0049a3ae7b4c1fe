import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { digamma } from '../../../src/router/scoring/digamma.ts';
import { uncertaintyOf } from '../../../src/router/scoring/uncertainty.ts';

interface Golden {
  readonly digamma: readonly (readonly [x: number, value: number])[];
  readonly rows: readonly { readonly logits: number[]; readonly aleatoric: number | string; readonly epistemic: number | string }[];
}

const golden = JSON.parse(readFileSync(join(import.meta.dirname, 'uncertainty-golden.json'), 'utf8')) as Golden;

describe('digamma', () => {
  it('is within 1e-12 of forty digits', () => {
    for (const [x, value] of golden.digamma) {
      const difference = Math.abs(digamma(x) - value);
      assert.ok(difference <= 1e-12 * Math.max(1, Math.abs(value)), `digamma(${x}) = ${digamma(x)}, not ${value}`);
    }
  });

  it('has the values of PyTorch where it has none', () => {
    assert.deepEqual([0, -0, -1, -17, Infinity, -Infinity, NaN].map(digamma), [-Infinity, Infinity, NaN, NaN, Infinity, NaN, NaN]);
  });
});

describe('aleatoric and epistemic uncertainty', () => {
  it("are upstream's, whatever the logits' signs", () => {
    assert.ok(golden.rows.some(({ logits }) => logits.at(-1)! < 0 && logits[0]! > 0));
    for (const { logits, ...expected } of golden.rows) {
      const found = uncertaintyOf(Float32Array.from(logits));
      for (const name of ['aleatoric', 'epistemic'] as const) {
        const [value, wanted] = [found[name], Number(expected[name])];
        const close = Object.is(value, wanted) || Math.abs(value - wanted) <= 1e-9 * Math.max(1, Math.abs(wanted));
        assert.ok(close, `${name} of ${logits.join(', ')} is ${value}, not ${wanted}`);
      }
    }
  });

  it('are no numbers when there are fewer than ten logits', () => {
    assert.deepEqual(uncertaintyOf(new Float32Array(9).fill(8)), { aleatoric: NaN, epistemic: NaN });
  });
});
