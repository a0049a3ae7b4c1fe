/** Runs the suites named on the command line (default: those of `npm test`) and closes with one line that adds up all of them. */
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suites } from './suites.ts';

const wanted = process.argv.slice(2).filter((arg) => !arg.startsWith('-'));
const mochaArgs = process.argv.slice(2).filter((arg) => arg.startsWith('-'));
const unknown = wanted.filter((name) => !suites.some((suite) => suite.name === name));
if (unknown.length > 0) {
  console.error(`Unknown suite ${unknown.join(', ')}; there are ${suites.map((suite) => suite.name).join(', ')}.`);
  process.exit(2);
}

const root = join(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'r2r-test-'));
const totalsFile = join(folder, 'totals');
let failedToRun = false;
for (const suite of suites.filter((each) => (wanted.length > 0 ? wanted.includes(each.name) : each.byDefault))) {
  const files = globSync([...suite.files], { cwd: root, exclude: [...(suite.ignore ?? [])] }).sort();
  if (files.length === 0) continue;
  console.log(`\n# ${suite.name}: ${suite.about}`);
  const started = Date.now();
  const run = spawnSync(process.execPath, [join(root, 'node_modules/mocha/bin/mocha.js'), ...mochaArgs, ...files], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...suite.env, R2R_TEST_TOTALS: totalsFile },
  });
  console.log(`# ${suite.name}: ${Math.round((Date.now() - started) / 1000)} s, exit ${run.status ?? run.signal ?? 'unknown'}`);
  if (run.status !== 0) failedToRun = true;
}

interface Totals {
  readonly passes: number;
  readonly failures: number;
  readonly pending: number;
  /** Title and reason of each. */
  readonly failed: readonly string[];
}

let totals: readonly Totals[] = [];
try {
  const lines = readFileSync(totalsFile, 'utf8').trim().split('\n');
  totals = lines.map((line) => JSON.parse(line) as Totals);
} catch {
  failedToRun = true;
}
rmSync(folder, { recursive: true });
const sum = (of: (each: Totals) => number): number => totals.reduce((total, each) => total + of(each), 0);
const [passed, failed, skipped] = [sum((each) => each.passes), sum((each) => each.failures), sum((each) => each.pending)];
// once more, close to the end: of a long output often no more than that is kept
if (failed > 0) console.log('\nFailed:');
for (const text of totals.flatMap((each) => each.failed)) console.log(`- ${text.replace(/\s+/g, ' ').slice(0, 400)}`);
console.log(`\n${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
process.exit(failedToRun || failed ? 1 : 0);
