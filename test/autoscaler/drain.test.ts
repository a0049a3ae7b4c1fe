import assert from 'node:assert/strict';
import fc from 'fast-check';
import { drainOrder, nextDrainStep, type DrainMark, type DrainView } from '../../src/autoscaler/index.ts';
import { replicaDefaults } from './world.ts';

const pod = (id: string, other: Partial<typeof replicaDefaults> = {}) => ({ ...replicaDefaults, id, ...other });
const mark = (id: string, other: Partial<DrainMark> = {}): DrainMark => ({ id, sinceMs: 0, costSet: false, ...other });
const view = (other: Partial<DrainView>): DrainView => ({
  wanted: 2,
  specReplicas: 3,
  replicas: [pod('a', { inFlight: 4 }), pod('b', { inFlight: 1 }), pod('c', { inFlight: 2 })],
  marks: [],
  routers: ['one', 'two'],
  reports: [
    { router: 'one', draining: [], inFlight: {} },
    { router: 'two', draining: [], inFlight: {} },
  ],
  timeoutMs: 60_000,
  ...other,
});
const stopped = (id: string, calls = 0) =>
  ['one', 'two'].map((router) => ({ router, draining: [id], inFlight: calls > 0 ? { [id]: calls } : {} }));

describe('which replica drains', () => {
  it('is one that is not ready, then the one with the fewest calls, then the youngest', () => {
    const order = drainOrder([
      pod('busy', { inFlight: 9 }),
      pod('old', { inFlight: 1, createdAtMs: 10 }),
      pod('young', { inFlight: 1, createdAtMs: 20 }),
      pod('starting', { ready: false, inFlight: 0 }),
    ]);
    assert.deepEqual(
      order.map(({ id }) => id),
      ['starting', 'young', 'old', 'busy'],
    );
  });
});

describe('the next step of a drain', () => {
  const at = 1000;

  it('is a mark, and nothing else yet', () => {
    assert.deepEqual(nextDrainStep(view({}), at), { mark: ['b'], unmark: [], setDeletionCost: [], replicas: 3, waiting: [] });
  });

  it('waits for a router that did not answer, that still chooses it, or that has calls on it', () => {
    const marks = [mark('b')];
    const waits = (reports: DrainView['reports']) => nextDrainStep(view({ marks, reports }), at).waiting;
    assert.deepEqual(waits(stopped('b').slice(0, 1)), [{ id: 'b', for: 'two to answer' }]);
    assert.deepEqual(waits([stopped('b')[0]!, { router: 'two', draining: [], inFlight: {} }]), [
      { id: 'b', for: 'two to stop choosing it' },
    ]);
    assert.deepEqual(waits(stopped('b', 3)), [{ id: 'b', for: '3 calls of one' }]);
  });

  it('is the deletion cost once all routers have stopped, and fewer replicas once that is written', () => {
    const reports = stopped('b');
    const cost = nextDrainStep(view({ marks: [mark('b')], reports }), at);
    assert.deepEqual([cost.setDeletionCost, cost.replicas], [['b'], 3]);
    const fall = nextDrainStep(view({ marks: [mark('b', { costSet: true })], reports }), at);
    assert.deepEqual([fall.setDeletionCost, fall.replicas], [[], 2]);
  });

  it('keeps mark and cost while the deletion is under way', () => {
    const step = nextDrainStep(view({ specReplicas: 2, marks: [mark('b', { costSet: true })], reports: stopped('b') }), at);
    assert.deepEqual(step, { mark: [], unmark: [], setDeletionCost: [], replicas: 2, waiting: [] });
  });

  it('gives the drain up when more are wanted again', () => {
    const step = nextDrainStep(view({ wanted: 3, marks: [mark('b', { costSet: true })], reports: stopped('b') }), at);
    assert.deepEqual(step, { mark: [], unmark: ['b'], setDeletionCost: [], replicas: 3, waiting: [] });
  });

  it('does not lower replicas while a cost is to be taken off another', () => {
    const marks = [mark('a', { costSet: true }), mark('b', { costSet: true, sinceMs: 5 })];
    const step = nextDrainStep(
      view({ marks, reports: ['one', 'two'].map((router) => ({ router, draining: ['a', 'b'], inFlight: {} })) }),
      at,
    );
    assert.deepEqual([step.unmark, step.replicas], [['b'], 3]);
  });

  it('ends after the time-out although a router is silent', () => {
    assert.deepEqual(nextDrainStep(view({ marks: [mark('b')], reports: [] }), 60_000).setDeletionCost, ['b']);
  });

  it('takes no router for a replica that is not ready and has no calls', () => {
    const replicas = [pod('a'), pod('b'), pod('c', { ready: false, inFlight: 0 })];
    assert.deepEqual(nextDrainStep(view({ replicas, marks: [mark('c')], reports: [] }), at).setDeletionCost, ['c']);
  });

  it('lowers replicas at once by those that were never made', () => {
    const step = nextDrainStep(view({ specReplicas: 5, wanted: 3 }), at);
    assert.deepEqual([step.replicas, step.mark], [3, []]);
  });

  it('raises replicas at once', () => {
    assert.equal(nextDrainStep(view({ wanted: 5 }), at).replicas, 5);
  });
});

describe('a row of drains', () => {
  it('always arrives at what is wanted, and no replica with calls goes', () => {
    const change = fc.record({
      wanted: fc.integer({ min: 0, max: 8 }),
      steps: fc.integer({ min: 1, max: 12 }),
      silent: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 8 }),
        fc.array(change, { minLength: 1, maxLength: 8 }),
        fc.infiniteStream(fc.nat(6)),
        (initial, changes, draws) => {
          let spec = initial;
          let made = 0;
          let pods: { id: string; calls: number; mark: DrainMark | undefined; terminating: boolean }[] = [];
          let now = 0;
          const pass = (wanted: number, silent: boolean): void => {
            now += 5000;
            // the ReplicaSet: what was deleted is gone, then pods follow `replicas`
            pods = pods.filter(({ terminating }) => !terminating);
            while (pods.length < spec) pods.push({ id: `pod-${made++}`, calls: draws.next().value, mark: undefined, terminating: false });
            const surplus = [...pods]
              .sort((a, b) => Number(b.mark?.costSet ?? false) - Number(a.mark?.costSet ?? false))
              .slice(0, pods.length - spec);
            for (const each of surplus) {
              assert.ok(each.mark?.costSet === true && each.calls === 0, `${each.id} goes with ${each.calls} calls`);
              each.terminating = true;
            }
            for (const each of pods) each.calls = each.mark ? Math.max(0, each.calls - 2) : draws.next().value;
            const marks = pods.flatMap(({ mark: each }) => (each ? [each] : []));
            const step = nextDrainStep(
              {
                wanted,
                specReplicas: spec,
                replicas: pods.map(({ id, calls, mark: each, terminating }) =>
                  pod(id, { inFlight: calls, draining: each !== undefined, terminating }),
                ),
                marks,
                routers: ['one'],
                reports: silent
                  ? []
                  : [
                      {
                        router: 'one',
                        draining: marks.map(({ id }) => id),
                        inFlight: Object.fromEntries(pods.map(({ id, calls }) => [id, calls])),
                      },
                    ],
                timeoutMs: Infinity,
              },
              now,
            );
            for (const each of pods) {
              if (step.unmark.includes(each.id)) each.mark = undefined;
              if (step.mark.includes(each.id)) each.mark = mark(each.id, { sinceMs: now });
              if (each.mark && step.setDeletionCost.includes(each.id)) each.mark = { ...each.mark, costSet: true };
            }
            assert.ok(step.replicas >= Math.min(wanted, spec) && step.replicas <= Math.max(wanted, spec));
            spec = step.replicas;
          };
          for (const { wanted, steps, silent } of changes) for (let step = 0; step < steps; step++) pass(wanted, silent);
          const { wanted } = changes.at(-1)!;
          for (let step = 0; step < 60; step++) pass(wanted, false);
          assert.deepEqual([spec, pods.length, pods.filter((each) => each.mark).length], [wanted, wanted, 0]);
        },
      ),
      { numRuns: 300 },
    );
  });
});
