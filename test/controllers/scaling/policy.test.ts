import assert from 'node:assert/strict';
import { specSchema } from '../../../src/api/r2rdeployment.ts';
import { gpusOf, gpusPerReplica, onlyUp, policyOf } from '../../../src/controllers/scaling/policy.ts';

const spec = (llm: object = {}, slm: object = {}, router: object = {}) =>
  specSchema.parse({
    slm: { model: '/slm', ...slm },
    llm: { model: '/llm', autoscaling: { maxReplicas: 4, gpuBudget: 8 }, ...llm },
    router,
  });

describe('the policy of a pool', () => {
  it('takes off the budget what pods of other revisions hold', () => {
    const { autoscaling } = spec().llm;
    assert.ok(autoscaling);
    assert.equal(policyOf(autoscaling, 2, 0).gpuBudget, 8);
    assert.equal(policyOf(autoscaling, 2, 6).gpuBudget, 2);
    assert.equal(policyOf(autoscaling, 2, 10).gpuBudget, 0);
    assert.equal(policyOf({ ...autoscaling, gpuBudget: undefined }, 2, 10).gpuBudget, undefined);
  });

  it('only lets a pool grow during a roll-out, whatever the bounds are by now', () => {
    const { autoscaling } = spec().llm;
    assert.ok(autoscaling);
    const bounds = (wanted: number, otherGpus: number) => {
      const { minReplicas, maxReplicas, gpuBudget } = onlyUp(policyOf(autoscaling, 2, otherGpus), wanted);
      return [minReplicas, maxReplicas, gpuBudget];
    };
    assert.deepEqual(bounds(2, 0), [2, 4, 8]);
    assert.deepEqual(bounds(2, 6), [2, 4, 4], 'the budget takes none of them');
    assert.deepEqual(bounds(6, 0), [6, 6, 12]);
    assert.deepEqual(bounds(0, 0), [0, 4, 8], 'a pool at zero is not filled up to minReplicas');
  });

  it('has the documented defaults, and no way to zero for the SLM', () => {
    const { slm, llm } = spec({}, { autoscaling: { maxReplicas: 2 } });
    assert.ok(slm.autoscaling && llm.autoscaling);
    const policy = policyOf(llm.autoscaling, 2, 0);
    assert.deepEqual(policy.scaleDown, { windowMs: 300_000, maxStep: 1 });
    assert.deepEqual([policy.latencyTargetMs, policy.pendingDeadlineMs, policy.idleBeforeZeroMs], [200, 1_200_000, 600_000]);
    assert.equal(policyOf(slm.autoscaling, 1, 0).idleBeforeZeroMs, Infinity);
  });

  it('knows the GPUs of a replica, none on CPU', () => {
    assert.deepEqual([gpusPerReplica('llm', spec()), gpusPerReplica('slm', spec())], [2, 1]);
    assert.equal(gpusPerReplica('llm', spec({ engine: 'CPU', autoscaling: { maxReplicas: 2 } })), 0);
  });

  it('counts the GPUs of a pod over its containers', () => {
    const gpu = (count: string) => ({ resources: { limits: { 'nvidia.com/gpu': count } } });
    const pod = {
      spec: { initContainers: [{ name: 'engine', ...gpu('1') }], containers: [{ name: 'router', ...gpu('2') }, { name: 'x' }] },
    };
    assert.equal(gpusOf({ apiVersion: 'v1', kind: 'Pod', ...pod }), 3);
    assert.equal(gpusOf({ apiVersion: 'v1', kind: 'Pod' }), 0);
  });
});
