import assert from 'node:assert/strict';
import { chooseThreshold, measure } from '../../../src/pipeline/bundle/measuring.ts';

const rows = {
  probabilities: Float64Array.of(0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2),
  positive: Uint8Array.of(1, 0, 1, 1, 0, 0, 1, 0),
};

describe('figures of a network', () => {
  it('are shares of the divergent rows and of all rows from the threshold on', () => {
    assert.deepEqual(measure(rows, 0.7), { threshold: 0.7, recall: 0.5, positiveRate: 0.375 });
    assert.deepEqual(measure(rows, 0.95), { threshold: 0.95, recall: 0, positiveRate: 0 });
    const nothing = { probabilities: new Float64Array(), positive: new Uint8Array() };
    assert.deepEqual(measure(nothing, 0.5), { threshold: 0.5, recall: 0, positiveRate: 0 });
  });

  it('choose the highest threshold that reaches a recall, between two rows', () => {
    const cases: readonly (readonly [recall: number, between: readonly [number, number]])[] = [
      [0, [0.9, 0.8]],
      [0.25, [0.9, 0.8]],
      [0.26, [0.7, 0.6]],
      [0.75, [0.6, 0.5]],
      [1, [0.3, 0.2]],
    ];
    for (const [recall, [above, below]] of cases) {
      const threshold = chooseThreshold(rows, recall) ?? assert.fail();
      assert.equal(threshold, (above + below) / 2);
      assert.ok(measure(rows, threshold).recall >= recall);
    }
    assert.equal(chooseThreshold({ probabilities: rows.probabilities, positive: new Uint8Array(8) }, 0.5), undefined);
    assert.equal(chooseThreshold({ probabilities: Float64Array.of(0.2, 0.2), positive: Uint8Array.of(1, 1) }, 1), 0.1);
  });

  it('choose among the candidates of a grid where there is one', () => {
    assert.equal(chooseThreshold(rows, 0.75, 99)?.toFixed(6), '0.600000');
    assert.equal(chooseThreshold(rows, 1, 3), 0.01);
    assert.equal(chooseThreshold({ probabilities: Float64Array.of(0.001), positive: Uint8Array.of(1) }, 1, 99), undefined);
  });
});
