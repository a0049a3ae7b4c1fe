import assert from 'node:assert/strict';
import { SpreadWindow } from '../../../src/router/scoring/spread-window.ts';

describe('the spread of recovered raw logits', () => {
  it('raises an alarm for more than one row in a hundred, and takes it back', () => {
    const window = new SpreadWindow();
    assert.deepEqual(window.stats, { rows: 0, share: 0, mean: 0, max: 0, alarm: false });
    for (let row = 0; row < 1000; row++) window.add(row < 10 ? 0.5 : 0.125);
    assert.deepEqual({ ...window.stats, mean: 0 }, { rows: 1000, share: 0.01, mean: 0, max: 0.5, alarm: false });
    assert.ok(Math.abs(window.stats.mean - 0.12875) < 1e-12);
    window.add(0);
    window.add(0.3001);
    window.add(NaN);
    assert.equal(window.stats.alarm, false, 'three of the ten have left the window, two have come');
    for (let row = 0; row < 9; row++) window.add(0.4);
    assert.equal(window.stats.alarm, true);
    assert.equal(window.stats.max, Infinity, 'a spread that is no number is too large');
    for (let row = 0; row < 1000; row++) window.add(0.25);
    assert.deepEqual(window.stats, { rows: 1000, share: 0, mean: 0.25, max: 0.25, alarm: false });
  });

  it('needs more than ten bad rows for an alarm, however few there were', () => {
    const window = new SpreadWindow();
    for (let row = 0; row < 10; row++) window.add(1);
    assert.equal(window.stats.alarm, false);
    window.add(1);
    assert.equal(window.stats.alarm, true);
  });
});
