import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** Compares lines with test/golden/NAME. `UPDATE_GOLDEN=1` writes the file instead; look at the diff before you commit it. */
export function assertGoldenText(name: string, lines: readonly string[]): void {
  const file = `test/golden/${name}`;
  const text = `${lines.join('\n')}\n`;
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(file, text);
  assert.ok(existsSync(file), `${file} is missing; run with UPDATE_GOLDEN=1`);
  assert.equal(text, readFileSync(file, 'utf8'), `${file} differs from what is printed; if that is meant, run with UPDATE_GOLDEN=1`);
}
