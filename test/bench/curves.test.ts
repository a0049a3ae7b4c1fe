import assert from 'node:assert/strict';
import { accuracyAt, compareFrontiers, compareSolved, frontier, type SolvedPoint } from '../../bench/pipeline/curves.ts';
import type { CurvePoint } from '../../bench/pipeline/results.ts';

const point = (llmShare: number, accuracy: number): CurvePoint => ({ threshold: 0.5, llmShare, accuracy });

describe('curves of accuracy over LLM share', () => {
  it('leave out thresholds that two others, mixed over requests, outdo', () => {
    const points = [point(0.1, 0.9), point(0, 0.2), point(0.05, 0.3), point(0.2, 0.8), point(1, 1)];
    assert.deepEqual(frontier(points), [point(0, 0.2), point(0.1, 0.9), point(1, 1)]);
  });

  it('take the better of two thresholds that cost the same', () => {
    assert.deepEqual(frontier([point(0, 0.2), point(0.1, 0.5), point(0.1, 0.6)]), [point(0, 0.2), point(0.1, 0.6)]);
  });

  it('are straight between their points, and stay where they end', () => {
    const curve = [point(0, 0.2), point(0.1, 0.6)];
    assert.deepEqual(
      [0, 0.05, 0.1, 0.5].map((share) => accuracyAt(share, curve)),
      [0.2, 0.4, 0.6, 0.6],
    );
  });

  it('are compared at every corner of either and where the budget ends', () => {
    const network = [point(0, 0.2), point(0.04, 0.96), point(1, 1)];
    const entropy = [point(0, 0.2), point(0.02, 0.4), point(0.05, 0.9), point(0.3, 0.98), point(1, 1)];
    const compared = compareFrontiers(network, entropy, 0.2);
    assert.deepEqual(
      compared.map(({ llmShare }) => llmShare),
      [0.04, 0.05, 0.2],
    );
    assert.ok(compared.every(({ network: ours, entropy: theirs }) => ours > theirs));
    const lower = compareFrontiers([point(0, 0.2), point(0.04, 0.7), point(1, 1)], entropy, 0.2);
    assert.ok(lower.some(({ network: ours, entropy: theirs }) => ours < theirs));
  });

  it('have, problem by problem, the standard error of the difference', () => {
    const at = (llmShare: number, solved: readonly boolean[]): SolvedPoint => ({ ...point(llmShare, 0), solved });
    const [compared] = compareSolved([at(0.1, [true, true, false, false])], [at(0.1, [false, true, true, false])], 0.2);
    assert.deepEqual(
      [compared?.llmShare, compared?.network, compared?.entropy, compared?.standardError],
      [0.1, 0.5, 0.5, Math.sqrt(0.5 / 4)],
    );
  });
});
