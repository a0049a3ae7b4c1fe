import assert from 'node:assert/strict';
import { fuzz } from '../model/checkpoint/fuzz.ts';
import { scale } from '../scale.ts';

const cases = 5000 * scale;

describe('mutated checkpoints, at length', () => {
  it(`are read, or refused by a CheckpointError, in ${cases} cases`, async function () {
    const limitMs = 60_000 * scale;
    this.timeout(2 * limitMs);
    // other files than those of the short test
    const report = await fuzz({ firstSeed: 1_000_000, cases, limitMs });
    console.log(
      JSON.stringify({ ...report, refused: Object.fromEntries([...report.refused].sort()), seconds: Math.round(report.elapsedMs / 1000) }),
    );
    assert.equal(report.cases, cases, `only ${report.cases} cases in ${limitMs} ms`);
  });
});
