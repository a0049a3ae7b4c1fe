import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';

/** Compares objects with test/golden/NAME, as YAML documents. `UPDATE_GOLDEN=1` writes the file instead; look at the diff before you commit it. */
export function assertGolden(name: string, objects: readonly unknown[]): void {
  const file = `test/golden/${name}`;
  const text = objects.map((each) => stringify(each, { lineWidth: 0, aliasDuplicateObjects: false })).join('---\n');
  if (process.env.UPDATE_GOLDEN === '1') {
    mkdirSync('test/golden', { recursive: true });
    writeFileSync(file, text);
  }
  assert.ok(existsSync(file), `${file} is missing; run with UPDATE_GOLDEN=1`);
  assert.equal(text, readFileSync(file, 'utf8'), `${file} differs from what is rendered; if that is meant, run with UPDATE_GOLDEN=1`);
}
