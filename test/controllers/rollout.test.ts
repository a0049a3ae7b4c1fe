import assert from 'node:assert/strict';
import { rolloutStep } from '../../src/controllers/rollout.ts';
import type { RevisionState, RolloutInput, RolloutStep } from '../../src/controllers/rollout.ts';

const revision = (name: string, state: Partial<RevisionState> = {}): RevisionState => ({
  revision: name,
  complete: true,
  routerPods: 1,
  made: true,
  started: true,
  ...state,
});

const surge = (input: Omit<RolloutInput, 'strategy'>): RolloutStep => rolloutStep({ strategy: 'Surge', ...input });

describe('surge roll-out', () => {
  it('serves the first revision at once, without a probe', () => {
    const step = surge({
      target: 'a',
      wantsRouters: true,
      serving: undefined,
      revisions: [revision('a', { complete: false })],
      probed: false,
    });
    assert.deepEqual(step, { serve: 'a', probe: false, retire: [] });
  });

  it('keeps the old revision while the new one comes up', () => {
    const step = surge({
      wantsRouters: true,
      target: 'b',

      serving: 'a',
      revisions: [revision('a'), revision('b', { complete: false })],
      probed: false,
    });
    assert.deepEqual(step, { serve: 'a', probe: false, retire: [] });
  });

  it('probes the new revision once it is complete, and does not move before it answered', () => {
    const step = surge({
      wantsRouters: true,
      target: 'b',

      serving: 'a',
      revisions: [revision('a'), revision('b')],
      probed: false,
    });
    assert.deepEqual(step, { serve: 'a', probe: true, retire: [] });
  });

  it('moves the endpoint after the probe and takes the old routers down before their LLM', () => {
    const step = surge({
      wantsRouters: true,
      target: 'b',

      serving: 'a',
      revisions: [revision('a'), revision('b')],
      probed: true,
    });
    assert.deepEqual(step, { serve: 'b', probe: false, retire: [{ revision: 'a', what: 'routers' }] });
  });

  it('takes the rest of the old revision down when its routers have gone', () => {
    const step = surge({
      wantsRouters: true,
      target: 'b',

      serving: 'b',
      revisions: [revision('a', { routerPods: 0 }), revision('b')],
      probed: false,
    });
    assert.deepEqual(step, { serve: 'b', probe: false, retire: [{ revision: 'a', what: 'everything' }] });
  });

  it('moves on without a probe when the spec asks for no router, so that the old LLM gives its GPUs back', () => {
    const revisions = [revision('a', { routerPods: 0 }), revision('b', { routerPods: 0 })];
    const step = surge({ target: 'b', wantsRouters: false, serving: 'a', revisions, probed: false });
    assert.deepEqual(step, { serve: 'b', probe: false, retire: [{ revision: 'a', what: 'everything' }] });
  });

  it('abandons a half-finished revision when the spec changes again', () => {
    const revisions = [revision('a'), revision('b', { complete: false }), revision('c', { complete: false })];
    const step = surge({ wantsRouters: true, target: 'c', serving: 'a', revisions, probed: false });
    assert.deepEqual(step, { serve: 'a', probe: false, retire: [{ revision: 'b', what: 'routers' }] });
  });

  it('goes back to the serving revision when the spec does', () => {
    const step = surge({
      target: 'a',
      wantsRouters: true,
      serving: 'a',
      revisions: [revision('a'), revision('b', { complete: false, routerPods: 0 })],
      probed: false,
    });
    assert.deepEqual(step, { serve: 'a', probe: false, retire: [{ revision: 'b', what: 'everything' }] });
  });

  it('does not wait for an old revision whose children are gone', () => {
    const step = surge({
      target: 'b',
      wantsRouters: true,
      serving: 'a',
      revisions: [revision('b', { complete: false })],
      probed: false,
    });
    assert.deepEqual(step, { serve: 'b', probe: false, retire: [] });
  });
});
