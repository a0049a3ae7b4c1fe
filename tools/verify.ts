/**
 * `npm run verify`: what must hold before a commit. First regenerate everything that is generated and checked in, then the read-only
 * checks, then assert that the tree is as it was: a generated file that changed is a generated file somebody forgot.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const generated = ['crds', 'docs/reference', 'test/golden', 'package-lock.json'];

function step(title: string, command: string, ...args: string[]): void {
  console.log(`\n# ${title}`);
  const run = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (run.status !== 0) {
    console.error(`\nverify: "${title}" failed (${[command, ...args].join(' ')})`);
    process.exit(run.status ?? 1);
  }
}

step('generate', 'npm', 'run', '--silent', 'generate');
step('lint', 'npm', 'run', '--silent', 'lint');
step('typecheck', 'npm', 'run', '--silent', 'typecheck');
step('test', 'npm', 'test');
step('generated files are checked in as generated', 'git', 'diff', '--exit-code', '--stat', '--', ...generated);
console.log('\nverify: all good');
