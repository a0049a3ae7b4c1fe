/**
 * `npm run verify`: what must hold before a commit. First regenerate everything that is generated and checked in, then the read-only
 * checks, then assert that the tree is as it was: a generated file that changed is a generated file somebody forgot.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

function step(title: string, command: string, ...args: string[]): void {
  console.log(`\n# ${title}`);
  const env = { ...process.env, ...(title === 'golden files' && { UPDATE_GOLDEN: '1' }) };
  const run = spawnSync(command, args, { cwd: root, stdio: 'inherit', env });
  if (run.status !== 0) {
    console.error(`\nverify: "${title}" failed (${[command, ...args].join(' ')})`);
    process.exit(run.status ?? 1);
  }
}

/** What git sees of the tree: changed and untracked files, with a digest of the changes. */
function tree(): string {
  const git = (...args: string[]): string => spawnSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 28 }).stdout;
  return git('status', '--porcelain') + git('diff');
}

const before = tree();
step('generate', 'npm', 'run', '--silent', 'generate');
step('golden files', 'npx', 'mocha', '--reporter', 'dot', 'test/manifests/*.test.ts');
step('lint', 'npm', 'run', '--silent', 'lint');
step('typecheck', 'npm', 'run', '--silent', 'typecheck');
step('test', 'npm', 'test');
if (tree() !== before) {
  spawnSync('git', ['status', '--short'], { cwd: root, stdio: 'inherit' });
  console.error('\nverify: the tree is not as it was before: check in what was generated');
  process.exit(1);
}
console.log('\nverify: all good');
