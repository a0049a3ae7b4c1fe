/** Runs the operator's benchmark as a process: the deployments of the tests, and what came of them. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OperatorResults } from '../../bench/operator/results.ts';

const script = join(import.meta.dirname, '../../bench/operator.ts');

/** Whether this user may make the namespaces that the benchmark runs in. */
export function mayMakeNamespaces(): boolean {
  const asUser = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  return spawnSync('unshare', ['--net', '--mount', ...asUser, 'true']).status === 0;
}

/** Resolves to the results whether or not the benchmark's aims were met; rejects when it came to none. */
export async function runScale(flags: readonly string[]): Promise<OperatorResults> {
  const folder = mkdtempSync(join(tmpdir(), 'r2r-scale-'));
  const file = join(folder, 'results.json');
  try {
    const child = spawn(process.execPath, [script, '--source', '--trial', file, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    const status = await new Promise<number | null>((resolve) => child.on('close', resolve));
    try {
      return JSON.parse(readFileSync(file, 'utf8')) as OperatorResults;
    } catch (cause) {
      throw new Error(`the benchmark ended with ${status ?? 'a signal'}:\n${output.slice(-4000)}`, { cause });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
