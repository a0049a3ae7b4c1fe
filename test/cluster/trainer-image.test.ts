import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { pinned } from './trainer-image.ts';

describe("the trainer's image", () => {
  it('has the pyarrow that the trainer is tested with', () => {
    assert.match(pinned('pyarrow', readFileSync('trainer/requirements.txt', 'utf8')), /^pyarrow==\d+\.\d+\.\d+$/);
    assert.throws(() => pinned('pyarrow', 'pyarrow>=14\n'), /requirements\.txt does not pin pyarrow/);
  });
});
