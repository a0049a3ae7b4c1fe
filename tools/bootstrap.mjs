#!/usr/bin/env node
// First step of every npm script: runs on whatever Node the machine has (18 or newer), installs the pinned packages when
// the lock file changed since the last time, then runs SCRIPT on the pinned Node 24.
//   node tools/bootstrap.mjs SCRIPT.ts [args…]
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, 'node_modules', '.r2r-lock');
const lock = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex');
const node = join(root, 'node_modules', '.bin', 'node');

if (!existsSync(stamp) || !existsSync(node) || readFileSync(stamp, 'utf8') !== lock) {
  console.error('Installing packages from package-lock.json (about a minute, only when it changed) …');
  // onnxruntime-node's install script would fetch CUDA libraries; the CPU runtime is in the package (npm 11 reads allowScripts instead)
  const env = { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' };
  const npm = spawnSync('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error'], { cwd: root, stdio: ['ignore', 2, 2], env });
  if (npm.status !== 0) {
    console.error('npm ci failed; see its message above. The npm registry must be reachable.');
    process.exit(npm.status ?? 1);
  }
  writeFileSync(stamp, lock);
}

const [script, ...args] = process.argv.slice(2);
if (script) {
  const path = `${join(root, 'node_modules', '.bin')}:${process.env.PATH ?? ''}`;
  const run = spawnSync(node, [join(root, script), ...args], { stdio: 'inherit', env: { ...process.env, PATH: path } });
  if (run.signal) process.kill(process.pid, run.signal);
  process.exit(run.status ?? 1);
}
