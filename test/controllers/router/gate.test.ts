import assert from 'node:assert/strict';
import { gateSchema } from '../../../src/api/r2rrouter-release.ts';
import { gateDecision } from '../../../src/controllers/router/index.ts';

describe('the gate, asked for a router that is better than the one in use', () => {
  const decide = (gate: object, candidate: { recall: number; positiveRate: number }, current?: object) =>
    gateDecision(
      gateSchema.parse({ betterThanCurrent: true, ...gate }),
      { ...candidate, ...(current && { comparedWith: { recall: 0.95, positiveRate: 0.1, ...current } }) },
      false,
    );
  const better = { recall: 0.98, positiveRate: 0.08 };
  const same = { recall: 0.98, positiveRate: 0.1 };

  it('takes the first one', () => {
    assert.equal(decide({}, same).passed, true);
  });

  it('takes one that sends fewer tokens to the LLM, and none that sends as many', () => {
    assert.equal(decide({}, better, { minRecall: 0.95 }).passed, true);
    assert.equal(decide({}, same, { minRecall: 0.95 }).reason, 'NotBetterThanCurrent');
  });

  for (const [how, minRecall] of [
    ['stricter', 0.97],
    ['laxer', 0.9],
  ] as const) {
    it(`compares nothing that was measured at another recall, when it is ${how} now: it says so, and what to do`, () => {
      for (const candidate of [better, same]) {
        const { passed, reason, message } = decide({ minRecall }, candidate, { minRecall: 0.95 });
        assert.deepEqual([passed, reason], [false, 'ComparedAtAnotherRecall']);
        assert.match(
          message,
          new RegExp(`^gate\\.betterThanCurrent: .* measured at a recall of 0\\.95, and gate\\.minRecall is ${minRecall} now; `),
        );
        assert.match(
          message,
          /with the next bundle, which another training\.seed makes; or set minRecall to 0\.95 again, or betterThanCurrent to false$/,
        );
      }
    });
  }

  it('does not mind the recall of the comparison where none is asked for', () => {
    assert.equal(decide({ betterThanCurrent: false, minRecall: 0.97 }, same, { minRecall: 0.95 }).passed, true);
  });

  it('says first what is wrong with the router itself', () => {
    assert.equal(decide({ minRecall: 0.99 }, better, { minRecall: 0.95 }).reason, 'RecallTooLow');
  });

  it('reads a comparison that an earlier version wrote, without its recall, as that version did', () => {
    assert.equal(decide({}, same, {}).reason, 'NotBetterThanCurrent');
    assert.equal(decide({ minRecall: 0.97 }, same, {}).passed, true);
  });
});
