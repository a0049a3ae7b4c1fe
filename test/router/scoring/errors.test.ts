import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { scoringErrorCodes } from '../../../src/router/scoring/errors.ts';

describe('the reference of errors', () => {
  const page = readFileSync('docs/reference/errors.md', 'utf8');
  for (const code of scoringErrorCodes) {
    it(`explains ${code}`, () => assert.match(page, new RegExp(`^\\| \`${code}\` `, 'm')));
  }
});
