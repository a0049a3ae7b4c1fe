import assert from 'node:assert/strict';
import { decide, initialState, scalingReasons, type ReplicaSample, type ScalingDecision } from '../../src/autoscaler/index.ts';
import { random } from '../../bench/autoscaler/random.ts';
import { fine, policyDefaults, replicas, sampleOf, World } from './world.ts';

const minute = 60_000;
const seen = new Set<string>();

/** The decisions that changed something, as `from>to reason`. */
function changes(decisions: readonly ScalingDecision[]): readonly string[] {
  return decisions.filter(({ from, to }) => from !== to).map(({ from, to, reason }) => `${from}>${to} ${reason}`);
}

/** A world whose pool has been steady for ten minutes. */
function settled(count: number, demand: number, policy: ConstructorParameters<typeof World>[0] = {}): World {
  const world = new World(policy, count);
  world.run(10 * minute, { ...fine, demand });
  world.decisions.length = 0;
  return world;
}

describe('a scaling decision', () => {
  const look = (world: World): ScalingDecision => {
    for (const { reason } of world.decisions) seen.add(reason);
    return world.decisions.at(-1)!;
  };

  it('leaves a pool alone that is right', () => {
    const world = settled(3, 220);
    world.run(30 * minute, { ...fine, demand: 220 });
    assert.deepEqual(changes(world.decisions), []);
    assert.equal(look(world).reason, 'Steady');
    assert.equal(look(world).inputs.floor, 3);
  });

  it('follows demand up once it has lasted for the window', () => {
    const world = settled(3, 220);
    world.run(2 * minute, { ...fine, demand: 390 });
    assert.ok(world.decisions.some(({ reason }) => reason === 'Stabilizing'));
    assert.ok(changes(world.decisions).every((change) => change.endsWith('DemandRose')));
    assert.ok(world.wanted >= 5 && world.wanted <= 7, `${world.wanted}`);
    look(world);
  });

  it('sees through an overloaded pool, whose demand no longer grows', () => {
    const world = settled(2, 150);
    // ten times what two replicas can do; no more than 260 a second is seen
    world.run(20 * minute, { ...fine, demand: 1200 });
    assert.equal(world.wanted, 10);
    assert.equal(look(world).reason, 'AtMaximum');
  });

  it('follows it down after the longer window, one at a time, each drained before the next', () => {
    const world = settled(6, 450);
    world.run(90 * minute, { ...fine, demand: 150 });
    assert.deepEqual(changes(world.decisions), ['6>5 DemandFell', '5>4 DemandFell', '4>3 DemandFell', '3>2 DemandFell']);
    const times = world.decisions.filter(({ from, to }) => from !== to).map(({ atMs }) => atMs);
    assert.ok(times[0]! - (world.nowMs - 90 * minute) >= 5 * minute);
    for (const [index, time] of times.slice(1).entries()) assert.ok(time - times[index]! >= minute);
    look(world);
  });

  it('lets a replica go where the others have room for the noise, and keeps it where noise would bring it back', () => {
    // four replicas are meant for 320
    for (const [demand, left] of [
      [295, 4],
      [317, 5],
    ] as const) {
      const world = settled(5, 390);
      const numbers = random(1);
      for (let step = 0; step < 1000; step++) world.step({ ...fine, demand: demand * (0.98 + 0.04 * numbers.next()) });
      assert.equal(world.wanted, left);
      look(world);
    }
  });

  it('adds a replica for a long queue, whatever the demand says', () => {
    const queued = replicas(2, { runningRequests: 10, queuedRequests: 12, inFlight: 22 });
    let state = initialState();
    const decisions: ScalingDecision[] = [];
    for (let at = 0; at <= 30_000; at += 5000) {
      const decided = decide(policyDefaults, state, sampleOf(at, 100, queued), { replicas: 2, capacity: undefined }, at);
      state = decided.state;
      decisions.push(decided.decision);
    }
    assert.deepEqual([decisions.at(-1)?.to, decisions.at(-1)?.reason, decisions.at(-1)?.inputs.reactive], [3, 'SpareCapacityLow', 3]);
    seen.add('SpareCapacityLow');
  });

  it('does not take a replica away whose load the others could not carry', () => {
    const full = replicas(4, { kvUsage: 0.5 });
    let state = initialState();
    let last: ScalingDecision | undefined;
    for (let at = 0; at <= 400_000; at += 5000) {
      const decided = decide(policyDefaults, state, sampleOf(at, 20, full), { replicas: 4, capacity: undefined }, at);
      ({ state } = decided);
      last = decided.decision;
    }
    assert.deepEqual([last?.to, last?.reason], [4, 'RedistributionUnsafe']);
    seen.add('RedistributionUnsafe');
  });

  it('stops at the GPU budget', () => {
    const world = settled(2, 150, { gpuBudget: 7 });
    world.run(20 * minute, { ...fine, demand: 800 });
    assert.equal(world.wanted, 3);
    assert.equal(look(world).reason, 'GpuBudgetReached');
  });

  it('goes at once to bounds that were changed', () => {
    const world = settled(3, 220);
    world.policy = { ...world.policy, minReplicas: 5 };
    world.step({ ...fine, demand: 220 });
    world.policy = { ...world.policy, minReplicas: 1, maxReplicas: 2 };
    world.step({ ...fine, demand: 220 });
    assert.deepEqual(changes(world.decisions), ['3>5 BoundsChanged', '5>2 BoundsChanged']);
    look(world);
  });

  it('says that capacity is missing once the deadline has passed, asks again now and then, and takes what comes', () => {
    const world = settled(2, 150);
    const scarce = { ...fine, demand: 390, gpus: 4 };
    world.run(9 * minute, scarce);
    assert.ok(world.decisions.every(({ reason }) => reason !== 'InsufficientCapacity'));
    world.run(6 * minute, scarce);
    assert.equal(look(world).reason, 'InsufficientCapacity');
    const asked = world.wanted;
    world.run(5 * minute, scarce);
    assert.equal(world.wanted, asked);
    world.run(60 * minute, scarce);
    assert.ok(world.wanted > asked && world.wanted <= asked + 3, `${world.wanted} after ${asked}`);
    world.run(60 * minute, { ...fine, demand: 390 });
    assert.equal(look(world).reason, 'Steady');
    assert.ok(world.wanted <= 7 && world.serving() === world.wanted);
  });

  it('scales down while replicas do not come', () => {
    const world = settled(3, 220);
    world.run(20 * minute, { ...fine, demand: 390, gpus: 6 });
    // that it rises is remembered for 90 minutes
    world.run(120 * minute, { ...fine, demand: 50, gpus: 6 });
    assert.equal(world.wanted, 1);
  });

  it('replaces replicas that are broken: one is tried, and all of them once it has come', () => {
    const world = settled(2, 150);
    world.run(3 * minute, { ...fine, demand: 390, broken: true });
    const broken = world.pods.length - 2;
    assert.ok(broken >= 3);
    world.run(40 * minute, { ...fine, demand: 390 });
    assert.ok(world.serving() >= 5, `${world.serving()} serve`);
    const tries = world.decisions
      .filter(({ from, to, reason }) => to > from && reason === 'InsufficientCapacity')
      .map(({ from, to }) => to - from);
    assert.equal(tries[0], 1);
    assert.ok(tries.length >= 2);
    world.run(60 * minute, { ...fine, demand: 390 });
    assert.ok(world.pods.length <= 6 && world.serving() === world.pods.length, 'those that are broken are gone');
  });

  it('gives broken replicas up where it may ask for no more, so that others are made in their place', () => {
    const world = settled(2, 150, { maxReplicas: 5 });
    world.run(3 * minute, { ...fine, demand: 390, broken: true });
    assert.deepEqual([world.wanted, world.serving()], [5, 2]);
    world.run(60 * minute, { ...fine, demand: 390 });
    assert.equal(world.serving(), 5);
    const lowered = changes(world.decisions).filter((change) => change === '5>4 InsufficientCapacity');
    assert.equal(lowered.length, 3, 'each of the three once');
  });

  it('gives broken replicas up as soon as those that serve are enough', () => {
    const world = settled(2, 150);
    world.run(25_000, { ...fine, demand: 390, broken: true });
    world.run(4 * minute, { ...fine, demand: 390 });
    const broken = world.pods.filter((pod) => !world.ready(pod)).length;
    assert.ok(broken > 0 && world.serving() >= 4);
    world.run(10 * minute, { ...fine, demand: 150 });
    assert.equal(
      world.pods.filter((pod) => !world.ready(pod)).length,
      0,
      'without the window for which those that serve are kept, and long before the deadline',
    );
  });

  it('gives those that replace slow replicas more time, so that slow ones come in the end', () => {
    const slow = replicas(1, { id: 'slow', ready: false, inFlight: 0 });
    let state = initialState();
    const at = (ms: number, made: readonly ReplicaSample[]): ScalingDecision => {
      const decided = decide(
        { ...policyDefaults, maxReplicas: 3 },
        state,
        sampleOf(ms, 220, made),
        { replicas: 3, capacity: undefined },
        ms,
      );
      ({ state } = decided);
      return decided.decision;
    };
    const others = (ready: boolean) => replicas(2, { ready, createdAtMs: 1 });
    at(1000, [...others(false), ...slow.map((replica) => ({ ...replica, createdAtMs: 1 }))]);
    at(60_001, [...others(true), ...slow.map((replica) => ({ ...replica, createdAtMs: 1 }))]);
    const gaveUp = at(121_000, [...others(true), ...slow.map((replica) => ({ ...replica, createdAtMs: 1 }))]);
    assert.deepEqual([gaveUp.to, gaveUp.reason], [2, 'InsufficientCapacity']);
    const again = slow.map((replica) => ({ ...replica, id: 'again', createdAtMs: 20_000 }));
    assert.equal(at(20_000 + 239_000, [...others(true), ...again]).to, 3);
    assert.equal(at(20_000 + 241_000, [...others(true), ...again]).to, 2);
  });

  it('takes a replica away at a calm moment, but does not wait for one for ever', () => {
    const first = (latencyP95Ms: number): number => {
      let state = initialState();
      for (let at = 0; ; at += 5000) {
        const sample = sampleOf(at, 120, replicas(4), { latencyP95Ms });
        const decided = decide(policyDefaults, state, sample, { replicas: 4, capacity: undefined }, at);
        ({ state } = decided);
        if (decided.decision.to < 4) return at;
      }
    };
    assert.deepEqual([first(55), first(60)], [5 * minute, 10 * minute]);
  });

  it('asks at once for what a steep rise leads to while calls are late, and for its double at most', () => {
    const policy = { ...policyDefaults, maxReplicas: 40, scaleUp: { windowMs: 0, maxStep: 4 } };
    const steps = (latencyP95Ms: number): number => {
      let [state, wanted] = [initialState(), 3];
      for (let step = 0; step <= 80; step++) {
        const demand = step <= 64 ? 200 : 200 + 15 * (step - 64);
        const sample = sampleOf(step * 5000, demand, replicas(3), { latencyP95Ms: step <= 64 ? 60 : latencyP95Ms });
        const decided = decide(policy, state, sample, { replicas: wanted, capacity: undefined }, step * 5000);
        ({ state } = decided);
        wanted = decided.decision.to;
      }
      return wanted;
    };
    const [calm, late] = [steps(99), steps(101)];
    assert.ok(calm <= 5, `${calm} for the average`);
    assert.ok(late >= 9 && late <= 2 * Math.ceil(440 / 80), `${late}`);
  });

  it('holds without a sample, and with an old one', () => {
    const world = settled(3, 220);
    world.run(minute, { ...fine, sample: 'missing' });
    assert.equal(look(world).reason, 'StaleMetrics');
    const old = sampleOf(0, 1000, replicas(3));
    const { decision } = decide(policyDefaults, initialState(), old, { replicas: 3, capacity: undefined }, 61_000);
    assert.deepEqual([decision.to, decision.reason], [3, 'StaleMetrics']);
  });

  it('holds while routers do not tell the demand for too long', () => {
    const world = settled(3, 220);
    world.run(10 * minute, { ...fine, demand: 100, sample: 'without demand' });
    assert.equal(look(world).reason, 'StaleMetrics');
    assert.equal(world.wanted, 3);
  });

  it('holds while the capacity is unknown, but for the queue', () => {
    const world = new World({ capacityPerReplica: undefined }, 2);
    world.run(10 * minute, { ...fine, demand: 40 });
    assert.deepEqual([look(world).reason, world.wanted], ['CapacityUnknown', 2]);
    world.run(10 * minute, { ...fine, demand: 400 });
    assert.ok(world.wanted > 2);
  });

  it('goes to zero when nobody asks, and comes back with the first request', () => {
    const world = settled(2, 150, { minReplicas: 0 });
    world.run(60 * minute, fine);
    assert.deepEqual([look(world).reason, world.wanted, world.pods.length], ['ScaledToZero', 0, 0]);
    world.step({ ...fine, demand: 150 });
    assert.deepEqual([look(world).reason, world.wanted], ['WokenUp', 1]);
    world.run(20 * minute, { ...fine, demand: 150 });
    assert.equal(world.wanted, 2);
  });

  it('forgets the average when the routing changes, and does not scale down on the first samples after it', () => {
    const world = settled(5, 380);
    world.run(4 * minute, { ...fine, demand: 100, routingKey: 'another' });
    assert.equal(world.wanted, 5);
    assert.ok(look(world).inputs.demandPerSecond! < 110);
    world.run(4 * minute, { ...fine, demand: 800, routingKey: 'a third' });
    assert.ok(look(world).to > 5);
  });

  it('goes on from what status kept after the operator began anew', () => {
    const state = initialState({ demandPerSecond: 300, atMs: 0, routingKey: 'router' });
    const { decision } = decide(policyDefaults, state, sampleOf(5000, 100, replicas(4)), { replicas: 4, capacity: undefined }, 5000);
    assert.ok(decision.inputs.demandPerSecond! > 200);
  });

  after(() => {
    assert.deepEqual(
      scalingReasons.filter((reason) => !seen.has(reason)),
      [],
      'every reason was met in one of these tests',
    );
  });
});
