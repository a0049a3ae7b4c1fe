import assert from 'node:assert/strict';
import { statusSchema } from '../../../src/api/r2rdeployment-status.ts';
import type { PoolSample, ScalingPolicy } from '../../../src/autoscaler/index.ts';
import { PoolScaler } from '../../../src/controllers/scaling/pool-scaler.ts';

const policy: ScalingPolicy = {
  minReplicas: 1,
  maxReplicas: 10,
  gpusPerReplica: 0,
  gpuBudget: undefined,
  targetUtilization: 0.5,
  capacityPerReplica: 100,
  tolerance: 0.1,
  scaleUp: { windowMs: 0, maxStep: 10 },
  scaleDown: { windowMs: 0, maxStep: 10 },
  pendingDeadlineMs: 600_000,
  staleAfterMs: 30_000,
  idleBeforeZeroMs: 600_000,
};
const of = { revision: 'aaaaaaaa', latencyTargetMs: 200 };
const replica = (id: string) => ({
  id,
  ready: true,
  draining: false,
  createdAtMs: 1,
  inFlight: 1,
  runningRequests: 0,
  queuedRequests: 0,
  kvUsage: 0,
});
const sample = (atMs: number, demandPerSecond: number | undefined, replicas = 1): PoolSample => ({
  atMs,
  demandPerSecond,
  donePerSecond: demandPerSecond,
  latencyP95Ms: 10,
  waitingRequests: 0,
  routingKey: 'k',
  replicas: Array.from({ length: replicas }, (_, index) => replica(`pod-${index}`)),
});

const perSecond = ({ capacity }: PoolScaler): number | undefined => capacity?.perSecond;
const reason = ({ shown }: PoolScaler): string | undefined => shown?.reason;

describe('the scaler of a pool', () => {
  it('keeps what it wants, and why, in a status that the CRD takes', () => {
    const scaler = new PoolScaler(1, undefined);
    scaler.tick(policy, sample(1_000_000, 200), 1_000_000, of);
    assert.equal(scaler.wanted, 4);
    const { scaling } = statusSchema.parse({ scaling: { llm: scaler.status } });
    assert.equal(scaling?.llm?.wantedReplicas, 4);
    const [decision] = scaling.llm.decisions ?? [];
    assert.deepEqual([decision?.from, decision?.to, decision?.reason, decision?.at], [1, 4, 'DemandRose', '1970-01-01T00:16:40Z']);
    assert.equal(decision?.demandPerSecond, 200);
  });

  it('keeps five decisions, the newest first', () => {
    const scaler = new PoolScaler(1, undefined);
    for (let minReplicas = 2; minReplicas <= 9; minReplicas++)
      scaler.tick({ ...policy, minReplicas }, sample(minReplicas * 10_000, 0, minReplicas - 1), minReplicas * 10_000, of);
    assert.deepEqual(
      scaler.status.decisions?.map(({ to }) => to),
      [9, 8, 7, 6, 5],
    );
  });

  it('begins with what the status before says, and not with spec.replicas', () => {
    const before = new PoolScaler(1, undefined);
    before.tick(policy, sample(1_000_000, 200), 1_000_000, of);
    before.seed('aaaaaaaa', 70, 1_000_000);
    const after = new PoolScaler(1, before.status);
    assert.equal(after.wanted, 4);
    assert.deepEqual(after.status, before.status);
    after.tick({ ...policy, capacityPerReplica: undefined }, undefined, 1_005_000, of);
    assert.equal(after.wanted, 4);
    assert.equal(perSecond(after), 70);
  });

  it('knows the capacity of each revision by itself', () => {
    const scaler = new PoolScaler(1, undefined);
    scaler.seed('aaaaaaaa', 70, 0);
    scaler.tick(policy, undefined, 1_000, { ...of, revision: 'bbbbbbbb' });
    assert.equal(perSecond(scaler), undefined);
    scaler.seed('bbbbbbbb', 80.1234, 0);
    assert.deepEqual(
      scaler.status.capacities?.map(({ perSecond }) => perSecond),
      [80.1, 70],
    );
    scaler.tick(policy, undefined, 2_000, of);
    assert.equal(perSecond(scaler), 70);
  });

  it('shows a reason that changes nothing for half a minute, but a problem, and its end, at once', () => {
    const scaler = new PoolScaler(1, undefined);
    const tick = (atMs: number, demand: number | undefined, change: Partial<ScalingPolicy> = {}) =>
      scaler.tick({ ...policy, ...change }, demand === undefined ? undefined : sample(atMs, demand), atMs, of).news;
    assert.equal(tick(5_000, 48), true, 'the first one');
    assert.equal(reason(scaler), 'Steady');
    const atMaximum = { maxReplicas: 1, capacityPerReplica: 20 };
    assert.equal(tick(10_000, 48, atMaximum), false);
    assert.equal(reason(scaler), 'Steady');
    assert.equal(tick(40_000, 48, atMaximum), true);
    assert.equal(reason(scaler), 'AtMaximum');
    assert.equal(tick(45_000, undefined, atMaximum), true);
    assert.equal(reason(scaler), 'StaleMetrics');
    assert.equal(tick(50_000, 48, atMaximum), true);
    assert.equal(reason(scaler), 'AtMaximum');
  });
});
