import assert from 'node:assert/strict';
import type { ConditionInput } from '../../src/api/conditions.ts';
import { conditionSchema } from '../../src/api/r2rdeployment-status.ts';
import { findCondition, isTrue, setCondition, setConditions } from '../../src/api/conditions.ts';

const ready: ConditionInput = { type: 'Ready', status: 'True', reason: 'Serving', message: 'all is well' };
const early = new Date('2026-01-01T00:00:00.123Z');
const late = new Date('2026-01-02T00:00:00Z');

describe('setCondition', () => {
  it('adds a condition with the generation and the time, in whole seconds', () => {
    const [condition, ...others] = setCondition(undefined, ready, 3, early);
    assert.deepEqual(condition, { ...ready, observedGeneration: 3, lastTransitionTime: '2026-01-01T00:00:00Z' });
    assert.deepEqual(others, []);
    assert.ok(conditionSchema.safeParse(condition).success);
  });

  it('keeps the transition time while the status stays, whatever else changes', () => {
    const before = setCondition([], ready, 1, early);
    const after = setCondition(before, { ...ready, reason: 'ScaledToZero', message: 'none wanted' }, 2, late);
    assert.equal(after[0]!.lastTransitionTime, '2026-01-01T00:00:00Z');
    assert.equal(after[0]!.observedGeneration, 2);
  });

  it('moves the transition time when the status changes', () => {
    const [condition] = setCondition(setCondition([], ready, 1, early), { ...ready, status: 'False' }, 1, late);
    assert.equal(condition!.lastTransitionTime, '2026-01-02T00:00:00Z');
  });

  it('gives an equal list for an equal state, so that nothing is written', () => {
    const before = setCondition([], ready, 1, early);
    assert.deepEqual(setCondition(before, ready, 1, late), before);
  });

  it('leaves its argument and the order of the others alone', () => {
    const before = setConditions([], [ready, { ...ready, type: 'SLMReady' }], 1, early);
    const copy = structuredClone(before);
    const after = setCondition(before, { ...ready, status: 'False' }, 2, late);
    assert.deepEqual(before, copy);
    assert.deepEqual(
      after.map(({ type }) => type),
      ['Ready', 'SLMReady'],
    );
    assert.equal(after[1], before[1]);
  });

  it("makes a child's own reason fit the API and cuts long messages", () => {
    const [condition] = setCondition([], { ...ready, reason: '1 Image/Pull failed!', message: 'x'.repeat(5000) }, 1, early);
    assert.equal(condition!.reason, 'ImagePullfailed');
    assert.equal(condition!.message.length, 1024);
    assert.equal(setCondition([], { ...ready, reason: '' }, 1, early)[0]!.reason, 'Unknown');
  });

  it('is read back by type', () => {
    const list = setConditions([], [ready, { ...ready, type: 'Stalled', status: 'False' }], 1, early);
    assert.equal(isTrue(list, 'Ready'), true);
    assert.equal(isTrue(list, 'Stalled'), false);
    assert.equal(findCondition(list, 'LLMReady'), undefined);
    assert.equal(isTrue(undefined, 'Ready'), false);
  });
});
