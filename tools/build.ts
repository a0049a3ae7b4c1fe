/** Compiles src/ to dist/, the JavaScript that the images run. */
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
rmSync(join(root, 'dist/cli'), { recursive: true, force: true });
const tsc = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json', '--declaration'], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(tsc.status ?? 1);
