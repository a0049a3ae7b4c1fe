import assert from 'node:assert/strict';
import { Registry } from 'prom-client';
import { publishState, type RouterState } from '../../src/router/state-metrics.ts';

describe('metrics of what a router says of itself', () => {
  it('are those of the moment: ready, alarms while they are raised, a threshold where there is one', async () => {
    const registry = new Registry();
    let state: RouterState = { ready: true, alarms: [{ reason: 'SlowerThanLLM', message: 'it is' }], threshold: 0.5 };
    publishState(registry, () => state);
    const samples = async (): Promise<readonly string[]> =>
      (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    assert.deepEqual(await samples(), ['r2r_ready 1', 'r2r_alarm{reason="SlowerThanLLM"} 1', 'r2r_threshold 0.5']);
    state = { ready: false, alarms: [], threshold: undefined };
    assert.deepEqual(await samples(), ['r2r_ready 0']);
  });
});
