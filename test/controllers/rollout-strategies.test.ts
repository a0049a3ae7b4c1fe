import assert from 'node:assert/strict';
import fc from 'fast-check';
import { rolloutStrategies } from '../../src/api/rollout-spec.ts';
import { mayStart, rolloutStep, rolloutTarget } from '../../src/controllers/rollout.ts';
import type { RevisionState } from '../../src/controllers/rollout.ts';
import { SimulatedRollout, revisionNames } from './simulated-rollout.ts';
import { bounded } from '../scale.ts';

const revision = (name: string, state: Partial<RevisionState> = {}): RevisionState => ({
  revision: name,
  complete: true,
  routerPods: 1,
  made: true,
  started: true,
  ...state,
});
const unmade = { complete: false, routerPods: 0, started: false };

describe('an in-place roll-out', () => {
  const step = (serving: string, revisions: readonly RevisionState[]) =>
    rolloutStep({ strategy: 'InPlace', target: 'b', wantsRouters: true, serving, revisions, probed: false });

  it('moves the endpoint and takes the old routers down before the new revision has a pod', () => {
    const revisions = [revision('a'), revision('b', unmade)];
    assert.equal(mayStart('InPlace', 'b', revisions), false);
    assert.deepEqual(step('a', revisions), { serve: 'b', probe: false, retire: [{ revision: 'a', what: 'routers' }] });
  });

  it('touches nothing as long as the objects of the new revision are not there', () => {
    const revisions = [revision('a'), revision('b', { ...unmade, made: false })];
    assert.deepEqual(step('a', revisions), { serve: 'a', probe: false, retire: [] });
  });

  it('takes the old LLM down when the last old router has gone, and still starts nothing', () => {
    const revisions = [revision('a', { routerPods: 0, complete: false }), revision('b', unmade)];
    assert.equal(mayStart('InPlace', 'b', revisions), false);
    assert.deepEqual(step('b', revisions).retire, [{ revision: 'a', what: 'everything' }]);
  });

  it('starts the new revision when nothing is left of the old one', () => {
    assert.equal(mayStart('InPlace', 'b', [revision('b', unmade)]), true);
    assert.equal(mayStart('InPlace', 'b', [revision('a', unmade), revision('b', unmade)]), true);
  });

  it('replaces a first revision that never answered', () => {
    const revisions = [revision('a', { complete: false }), revision('b', unmade)];
    assert.deepEqual(step('a', revisions), { serve: 'b', probe: false, retire: [{ revision: 'a', what: 'routers' }] });
  });

  it('never takes back a revision that has been started, for example because the strategy was Surge then', () => {
    const revisions = [revision('a'), revision('b', { complete: false })];
    assert.equal(mayStart('InPlace', 'b', revisions), true);
    assert.equal(step('a', revisions).serve, 'b');
  });
});

describe('the strategy None', () => {
  it('keeps the revision that serves, healthy or not', () => {
    for (const complete of [true, false]) assert.equal(rolloutTarget('None', 'b', 'a', [revision('a', { complete })]), 'a');
  });

  it('makes the first revision', () => {
    assert.equal(rolloutTarget('None', 'a', undefined, [revision('a', unmade)]), 'a');
  });

  it('does not hold on to a revision of which nothing is left', () => {
    assert.equal(rolloutTarget('None', 'b', 'a', [revision('b', unmade)]), 'b');
  });

  it('takes down what a roll-out had begun', () => {
    const revisions = [revision('a'), revision('b', { complete: false, routerPods: 0 })];
    const step = rolloutStep({ strategy: 'None', target: 'a', wantsRouters: true, serving: 'a', revisions, probed: false });
    assert.deepEqual(step, { serve: 'a', probe: false, retire: [{ revision: 'b', what: 'everything' }] });
  });
});

/** Anything may happen to pods, and people may change their mind, at any time between two steps of the operator. */
describe('a roll-out in any world', () => {
  const events = fc.array(
    fc.oneof(
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('spec' as const), revision: fc.constantFrom(...revisionNames) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('strategy' as const), strategy: fc.constantFrom(...rolloutStrategies) }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('pod' as const), pick: fc.nat({ max: 100 }), breaks: fc.boolean() }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('pods' as const) }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant('step' as const), probeWorks: fc.boolean() }) },
    ),
    { minLength: 10, maxLength: 100, size: 'max' },
  );
  const bad = fc.subarray([...revisionNames], { maxLength: 2 });
  const parameters = { ...bounded(2_000, 5_000), seed: 11 };

  it('serves one revision, and takes none down that serves or is wanted', () => {
    let moves = 0;
    fc.assert(
      fc.property(events, bad, fc.integer({ min: 1, max: 4 }), (history, broken, room) => {
        const world = new SimulatedRollout(new Set(broken), room);
        for (const event of history) {
          const before = world.serving;
          const { strategy, complete } = world;
          const done = world.happen(event);
          if (!done) continue;
          const { step, target, probed, hadChildren } = done;
          assert.ok(step.retire.every((each) => each.revision !== step.serve && each.revision !== target));
          assert.ok(world.llmOutlivesRouters, 'an LLM was taken down under its routers');
          if (before === undefined || before === step.serve || strategy === 'InPlace' || !hadChildren) continue;
          moves += 1;
          assert.ok(complete(target) && probed, `${strategy}: the endpoint left ${before} before ${target} answered`);
        }
      }),
      parameters,
    );
    assert.ok(moves > 20, `only ${moves} moves were seen`);
  });

  it('has pods of two revisions under InPlace only where there were some before', () => {
    fc.assert(
      fc.property(events, bad, (history, broken) => {
        const world = new SimulatedRollout(new Set(broken), 1);
        for (const event of history) {
          const before = world.withPods();
          const inPlace = world.strategy === 'InPlace';
          world.happen(event);
          const started = world.withPods().filter((each) => !before.includes(each));
          if (inPlace && event.kind === 'step' && started.length > 0) assert.deepEqual(before, []);
        }
      }),
      parameters,
    );
  });

  it('never replaces a pod under None', () => {
    fc.assert(
      fc.property(events, bad, (history, broken) => {
        const world = new SimulatedRollout(new Set(broken), 4);
        for (const event of history) world.happen(event);
        world.happen({ kind: 'strategy', strategy: 'None' });
        const { serving } = world;
        if (serving === undefined || !world.withChildren().includes(serving)) return;
        for (const spec of revisionNames) {
          world.happen({ kind: 'spec', revision: spec });
          for (let round = 0; round < 10; round += 1) world.settle();
          assert.equal(world.serving, serving);
          assert.deepEqual(world.withChildren(), [serving]);
        }
      }),
      parameters,
    );
  });

  for (const strategy of ['Surge', 'InPlace'] as const) {
    it(`ends with what is wanted under ${strategy}, whatever state the others are in${strategy === 'InPlace' ? ' and with room for one revision' : ''}`, () => {
      fc.assert(
        fc.property(events, bad, fc.constantFrom(...revisionNames), (history, broken, wanted) => {
          const world = new SimulatedRollout(new Set(broken.filter((each) => each !== wanted)), strategy === 'InPlace' ? 1 : 4);
          for (const event of history) world.happen(event);
          world.happen({ kind: 'strategy', strategy });
          world.happen({ kind: 'spec', revision: wanted });
          for (let round = 0; round < 40; round += 1) world.settle();
          assert.equal(world.serving, wanted);
          assert.deepEqual(world.withChildren(), [wanted]);
          assert.ok(world.complete(wanted));
        }),
        parameters,
      );
    });
  }
});
