import assert from 'node:assert/strict';
import { specSchema } from '../../../src/api/r2rdeployment.ts';
import type { ScalingDecision, ScalingReason } from '../../../src/autoscaler/index.ts';
import { scalingCondition } from '../../../src/controllers/scaling/condition.ts';

const decision = (reason: ScalingReason, to = 2): ScalingDecision => ({
  atMs: 0,
  from: to,
  to,
  reason,
  message: 'because',
  inputs: { demandPerSecond: 1, capacityPerReplica: 1, floor: 1, reactive: 1, ready: 1, pending: 0, waitingRequests: 0 },
});
const autoscaling = { maxReplicas: 3 };
const spec = (llm: object = {}, slm: object = {}) => specSchema.parse({ slm: { model: '/slm', ...slm }, llm: { model: '/llm', ...llm } });
const told = (...args: Parameters<typeof scalingCondition>): string => {
  const { status, reason } = scalingCondition(...args);
  return `${status} ${reason}`;
};

describe('condition ScalingReady', () => {
  it('says that replicas are followed where nothing is scaled', () => {
    assert.deepEqual(scalingCondition(spec(), {}), {
      type: 'ScalingReady',
      status: 'True',
      reason: 'FixedReplicas',
      message: 'spec.llm.replicas and spec.slm.replicas are followed; autoscaling is not set',
    });
  });

  it('is unknown before the first decision', () => {
    assert.equal(told(spec({ autoscaling }), {}), 'Unknown Unknown');
  });

  it('is True whatever keeps a pool at the size that it should have', () => {
    for (const reason of ['Steady', 'DemandRose', 'AtMaximum', 'GpuBudgetReached', 'ScaledToZero', 'RedistributionUnsafe'] as const)
      assert.equal(told(spec({ autoscaling }), { llm: decision(reason) }), `True ${reason}`);
  });

  it('is False without samples and without room, and unknown without a capacity', () => {
    assert.equal(told(spec({ autoscaling }), { llm: decision('StaleMetrics') }), 'False StaleMetrics');
    assert.equal(told(spec({ autoscaling }), { llm: decision('InsufficientCapacity') }), 'False InsufficientCapacity');
    assert.equal(told(spec({ autoscaling }), { llm: decision('CapacityUnknown') }), 'Unknown CapacityUnknown');
  });

  it('names the pool with the problem first, and tells of both', () => {
    const both = spec({ autoscaling }, { autoscaling });
    const { reason, message } = scalingCondition(both, { llm: decision('Steady', 2), slm: decision('StaleMetrics', 1) });
    assert.equal(reason, 'StaleMetrics');
    assert.equal(
      message,
      'LLM: 2 wanted; because; spec.llm.replicas is ignored while autoscaling is set. SLM: 1 wanted; because; spec.slm.replicas is ignored while autoscaling is set',
    );
  });
});
