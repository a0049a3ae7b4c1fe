import assert from 'node:assert/strict';
import { fuzz } from './fuzz.ts';

describe('mutated checkpoints', () => {
  it('are read, or refused by a CheckpointError, whatever they are', async function () {
    this.timeout(120_000);
    const report = await fuzz({ firstSeed: 1, cases: 5000, limitMs: 60_000 });
    assert.ok(report.cases === 5000 || report.elapsedMs >= 60_000);
    assert.ok(report.accepted > 0, 'some mutations leave a sound file');
    const codes = ['ARCHIVE', 'DAMAGED', 'FORBIDDEN', 'FORMAT', 'LAYOUT', 'PICKLE', 'TENSOR'].map((code) => `CHECKPOINT_${code}`);
    for (const code of codes) assert.ok((report.refused.get(code) ?? 0) > 0, `no mutation led to ${code}`);
  });
});
