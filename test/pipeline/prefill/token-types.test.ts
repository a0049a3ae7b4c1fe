import assert from 'node:assert/strict';
import { tokenTypes } from '../../../src/pipeline/prefill/token-types.ts';

const [start, end] = [7, 8];
const types = (ids: readonly number[], promptLength = 2) => [...tokenTypes(ids, promptLength, { start, end })];

describe('token types', () => {
  it('are 0 before the reasoning, 1 from its opening tag on, 2 from its closing tag on', () => {
    assert.deepEqual(types([1, 2, start, 3, 4, end, 5, 6]), [0, 0, 1, 1, 1, 2, 2, 2]);
  });

  it('begin in the prompt when it ends with the opening tag', () => {
    assert.deepEqual(types([1, 2, start, 3, end, 4], 3), [0, 0, 1, 1, 2, 2]);
  });

  it('stay 1 when the reasoning is never closed', () => {
    assert.deepEqual(types([1, 2, start, 3, 4]), [0, 0, 1, 1, 1]);
  });

  it('know only the first reasoning, and no closing tag before it', () => {
    assert.deepEqual(types([end, 2, start, 3, end, start, 4]), [0, 0, 1, 1, 2, 2, 2]);
  });

  it('are 2 from the last token of the prompt on where nobody thinks', () => {
    assert.deepEqual(types([1, 2, 3, 4, 5], 3), [0, 0, 2, 2, 2]);
    assert.deepEqual([...tokenTypes([1, 2, 3], 2, { start: undefined, end: undefined })], [0, 2, 2]);
  });
});
