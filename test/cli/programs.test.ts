import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const programs = JSON.stringify(join(import.meta.dirname, '../../src/cli/programs.ts'));
const starting = "console.log('runs'); await new Promise((resolve) => setTimeout(resolve, 60_000));";
const listening =
  "process.on('SIGTERM', () => process.exit(7)); console.log('runs'); await new Promise((resolve) => setTimeout(resolve, 60_000));";

/** How a process ends that is sent SIGTERM once its program runs. */
async function ended(program: string): Promise<readonly [code: number | null, signal: string | null]> {
  const script = `import { runProcess } from ${programs}; await runProcess('r2r', async () => { ${program} }, []);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  return (await once(child, 'exit')) as [number | null, string | null];
}

describe('a program and SIGTERM', function () {
  this.timeout(30_000);

  it('ends with 143 while it does not listen to it yet', async () => {
    assert.deepEqual(await ended(starting), [143, null]);
  });

  it('is left to its own listener', async () => {
    assert.deepEqual(await ended(listening), [7, null]);
  });
});
