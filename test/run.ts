/** Runs the suites named on the command line (default: those of `npm test`) and closes with one line that adds up all of them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, globSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { controlPlaneTools } from './cluster/tools.ts';
import { suites } from './suites.ts';
import type { Suite } from './suites.ts';

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

/** Runs a suite in a mocha of its own. @param output - where what it prints goes: a file, or to the end of what is printed here */
async function run(suite: Suite, output: number | 'inherit'): Promise<string> {
  const files = globSync([...suite.files], { cwd: root, exclude: [...(suite.ignore ?? [])] }).sort();
  const started = Date.now();
  const mocha = spawn(process.execPath, [join(root, 'node_modules/mocha/bin/mocha.js'), ...mochaArgs, ...files], {
    cwd: root,
    stdio: ['inherit', output, output],
    env: { ...process.env, ...suite.env, R2R_TEST_TOTALS: totalsFile },
  });
  const [code, signal] = (await once(mocha, 'close')) as [number | null, NodeJS.Signals | null];
  if (code !== 0) failedToRun = true;
  return `# ${suite.name}: ${Math.round((Date.now() - started) / 1000)} s, exit ${code ?? signal ?? 'unknown'}`;
}

/** Runs a suite whose output is printed when the caller asks for it. */
function runAside(suite: Suite): () => Promise<void> {
  const file = join(folder, suite.name);
  const output = openSync(file, 'w');
  const end = run(suite, output);
  return async () => {
    console.log(`\n# ${suite.name}: ${suite.about}`);
    const line = await end;
    closeSync(output);
    process.stdout.write(readFileSync(file));
    console.log(line);
  };
}

const chosen = suites.filter((each) => (wanted.length > 0 ? wanted.includes(each.name) : each.byDefault));
const isAside = ({ beside }: Suite): boolean => chosen.some(({ name }) => name === beside);
// what two suites would both begin with and wait for: on a new machine it is built before any test
if (chosen.some(isAside)) await controlPlaneTools();
for (const suite of chosen.filter((each) => !isAside(each))) {
  console.log(`\n# ${suite.name}: ${suite.about}`);
  const aside = chosen.filter(({ beside }) => beside === suite.name).map(runAside);
  console.log(await run(suite, 'inherit'));
  for (const print of aside) await print();
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
