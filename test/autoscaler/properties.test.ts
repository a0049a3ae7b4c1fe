import assert from 'node:assert/strict';
import fc from 'fast-check';
import { decide, type ScalingPolicy } from '../../src/autoscaler/index.ts';
import { random } from '../../bench/autoscaler/random.ts';
import { fine, World, type Conditions } from './world.ts';

const minute = 60_000;
const hour = 60 * minute;

const policies = fc.record({
  minReplicas: fc.integer({ min: 0, max: 4 }),
  maxReplicas: fc.integer({ min: 1, max: 12 }),
  gpusPerReplica: fc.constantFrom(0, 1, 2),
  gpuBudget: fc.option(fc.integer({ min: 0, max: 30 }), { nil: undefined }),
  targetUtilization: fc.double({ min: 0.3, max: 1, noNaN: true }),
  capacityPerReplica: fc.option(fc.double({ min: 5, max: 500, noNaN: true }), { nil: undefined }),
  tolerance: fc.double({ min: 0, max: 0.3, noNaN: true }),
  scaleUp: fc.record({ windowMs: fc.integer({ min: 0, max: minute }), maxStep: fc.integer({ min: 1, max: 6 }) }),
  scaleDown: fc.record({ windowMs: fc.integer({ min: 0, max: 10 * minute }), maxStep: fc.integer({ min: 1, max: 3 }) }),
  pendingDeadlineMs: fc.integer({ min: 3 * minute, max: 10 * minute }),
  idleBeforeZeroMs: fc.integer({ min: minute, max: 10 * minute }),
});

const spells = fc.array(
  fc.record({
    steps: fc.integer({ min: 1, max: 80 }),
    conditions: fc.record({
      demand: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1500, noNaN: true })),
      gpus: fc.oneof({ weight: 3, arbitrary: fc.constant(1000) }, { weight: 1, arbitrary: fc.integer({ min: 0, max: 12 }) }),
      broken: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
      sample: fc.oneof(
        { weight: 8, arbitrary: fc.constant('fresh' as const) },
        { weight: 1, arbitrary: fc.constantFrom('missing' as const, 'without demand' as const) },
      ),
      routingKey: fc.constantFrom('router', 'router', 'another'),
    }),
    /** Somebody edits the resource. */
    maxReplicas: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined }),
  }),
  { maxLength: 12 },
);

function highest({ maxReplicas, gpusPerReplica, gpuBudget }: ScalingPolicy): number {
  return gpusPerReplica > 0 && gpuBudget !== undefined ? Math.min(maxReplicas, Math.floor(gpuBudget / gpusPerReplica)) : maxReplicas;
}

/** Lets random spells go by and calls `check` after every step. */
function live(
  world: World,
  lived: readonly { steps: number; conditions: Conditions; maxReplicas: number | undefined }[],
  check: () => void,
): void {
  for (const { steps, conditions, maxReplicas } of lived) {
    if (maxReplicas !== undefined) world.policy = { ...world.policy, maxReplicas };
    for (let step = 0; step < steps; step++) {
      world.step(conditions);
      check();
    }
  }
}

describe('any scaling decision', function () {
  this.timeout(120_000);

  it('stays within bounds and budget, one step at a time', () => {
    fc.assert(
      fc.property(policies, fc.integer({ min: 0, max: 8 }), spells, (policy, initial, lived) => {
        const world = new World(policy, initial);
        live(world, lived, () => {
          const { from, to, reason } = world.decisions.at(-1)!;
          const top = highest(world.policy);
          assert.ok(to <= top && to >= 0 && Number.isInteger(to), `${to} of ${top}`);
          // one that ends may hold the GPUs that minReplicas asks for
          if (reason !== 'GpuBudgetReached') assert.ok(to >= Math.min(world.policy.minReplicas, top) || reason === 'BoundsChanged');
          if (reason === 'BoundsChanged' || reason === 'ScaledToZero') return;
          assert.ok(
            to - from <= world.policy.scaleUp.maxStep && from - to <= world.policy.scaleDown.maxStep,
            `${from} -> ${to}: ${reason}`,
          );
        });
      }),
      { numRuns: 100 },
    );
  });

  it('never lets pods hold more GPUs than the budget: pending, draining and ending ones included', () => {
    fc.assert(
      fc.property(policies, spells, (policy, lived) => {
        const world = new World({ ...policy, gpusPerReplica: 2, gpuBudget: policy.gpuBudget ?? 12 }, 0);
        live(world, lived, () => assert.ok(world.gpus <= (world.policy.gpuBudget ?? 0), `${world.gpus} GPUs of ${world.policy.gpuBudget}`));
      }),
      { numRuns: 100 },
    );
  });

  it('holds the pool while metrics are stale', () => {
    fc.assert(
      fc.property(policies, fc.integer({ min: 0, max: 8 }), spells, fc.integer({ min: 1, max: 200 }), (policy, initial, lived, steps) => {
        const world = new World(policy, initial);
        live(world, lived, () => undefined);
        world.step({ ...fine, sample: 'missing' });
        const held = world.wanted;
        for (let step = 0; step < steps; step++) {
          const { to, reason } = world.step({ ...fine, demand: 1000, sample: 'missing' });
          assert.deepEqual([to, reason], [held, 'StaleMetrics']);
        }
      }),
    );
  });

  it('is the same for the same arguments, and after its state went through JSON', () => {
    fc.assert(
      fc.property(policies, fc.integer({ min: 0, max: 8 }), spells, (policy, initial, lived) => {
        const [one, two] = [new World(policy, initial), new World(policy, initial)];
        live(one, lived, () => undefined);
        live(two, lived, () => {
          const written: unknown = JSON.parse(JSON.stringify(two.state));
          assert.deepEqual(written, two.state);
          two.state = written;
        });
        assert.deepEqual(two.decisions, one.decisions);
      }),
    );
  });

  it('wants no fewer replicas for more demand', () => {
    fc.assert(
      fc.property(
        policies,
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.double({ min: 0, max: 800, noNaN: true }), { minLength: 1, maxLength: 120 }),
        fc.double({ min: 1, max: 4, noNaN: true }),
        (policy, count, demands, factor) => {
          const less = new World({ ...policy, capacityPerReplica: policy.capacityPerReplica ?? 100 }, count);
          less.run(3 * minute, { ...fine, demand: 1 });
          const replicas = less.decisions.length;
          let [low, high] = [less.state, less.state];
          for (const [index, demand] of demands.entries()) {
            const at = less.nowMs + 5000 * (index + 1);
            const sampled = (value: number) => ({
              atMs: at,
              demandPerSecond: value,
              donePerSecond: value,
              latencyP95Ms: 50,
              waitingRequests: 0,
              routingKey: 'router',
              replicas: [],
            });
            const current = { replicas: less.wanted, capacity: undefined };
            const [lower, higher] = [
              decide(less.policy, low, sampled(demand), current, at),
              decide(less.policy, high, sampled(demand * factor), current, at),
            ];
            [low, high] = [lower.state, higher.state];
            assert.ok((higher.decision.inputs.floor ?? 0) >= (lower.decision.inputs.floor ?? 0), `step ${index} of ${replicas}`);
          }
        },
      ),
    );
  });
});

describe('a pool with steady demand', function () {
  this.timeout(120_000);

  it('does not turn round under noise of 1 to 5 %', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        // around what so many replicas are meant for, where one more or less is needed in turn
        fc.double({ min: 0.85, max: 1.05, noNaN: true }),
        fc.double({ min: 0.01, max: 0.05, noNaN: true }),
        fc.constantFrom('even', 'extremes'),
        fc.noShrink(fc.integer()),
        (count, part, noise, kind, seed) => {
          const world = new World({ maxReplicas: 20 }, 4);
          const demand = part * count * world.policy.targetUtilization * world.policy.capacityPerReplica!;
          const numbers = random(seed);
          const draw = (): number => (kind === 'even' ? 2 * numbers.next() - 1 : Math.floor(3 * numbers.next()) - 1);
          const wobble = () => ({ ...fine, demand: demand * (1 + noise * draw()) });
          for (let step = 0; step < 500; step++) world.step(wobble());
          const directions: number[] = [];
          for (let step = 0; step < 1000; step++) {
            const { from, to } = world.step(wobble());
            if (to !== from) directions.push(Math.sign(to - from));
          }
          assert.ok(new Set(directions).size <= 1, `went ${directions.join(' ')}`);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('recovers, whatever happened before', () => {
    fc.assert(
      fc.property(
        policies,
        fc.integer({ min: 0, max: 8 }),
        spells,
        fc.double({ min: 1, max: 500, noNaN: true }),
        fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }),
        (policy, initial, lived, demand, spare) => {
          const world = new World({ ...policy, capacityPerReplica: 100, gpuBudget: undefined }, initial);
          live(world, lived, () => undefined);
          const needed = demand / (100 * world.policy.targetUtilization);
          // with no more than that, broken ones stand in the way of others
          const least = Math.max(Math.ceil(needed), world.policy.minReplicas + 1);
          world.policy = { ...world.policy, maxReplicas: spare === undefined ? 30 : least + spare };
          world.run(4 * hour, { ...fine, demand });
          const last = world.decisions.at(-1)!;
          assert.ok(
            world.serving() >= Math.floor(needed / (1 + world.policy.tolerance)),
            `${world.serving()} serve, ${needed} are needed: ${last.reason}`,
          );
          const surplus = world.wanted - Math.max(world.policy.minReplicas, Math.ceil(needed * 1.15), 1);
          assert.ok(
            surplus <= Math.ceil(world.wanted * world.policy.tolerance) + 1,
            `${world.wanted} for ${needed}: ${last.reason} ${last.message}`,
          );
        },
      ),
      { numRuns: 25 },
    );
  });
});
