import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { apiErrorStatuses } from '../../src/router/errors.ts';

describe('the reference of errors', () => {
  const page = readFileSync('docs/reference/errors.md', 'utf8');
  for (const [code, status] of Object.entries(apiErrorStatuses)) {
    it(`explains ${code} with its status`, () => {
      assert.match(page, new RegExp(`^\\| \`${code}\` +\\| ${status} `, 'm'));
    });
  }
});
