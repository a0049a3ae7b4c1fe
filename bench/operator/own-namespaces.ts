import { execFileSync, spawnSync } from 'node:child_process';
import { podRange } from '../../test/simulated/programs.ts';

const mark = 'R2R_BENCH_NAMESPACES';

/**
 * Runs the script again in namespaces of its own: a network where the pods' addresses all lead to this machine and nothing leads out, and an empty
 * /run, in which the operator finds its service account as in a pod. Returns inside; outside it ends the process with the script's exit status. As
 * root, or where users may make namespaces.
 */
export function enterOwnNamespaces(): void {
  if (process.env[mark] === 'own') {
    execFileSync('ip', ['link', 'set', 'lo', 'up'], { stdio: 'inherit' });
    execFileSync('ip', ['route', 'add', 'local', podRange, 'dev', 'lo'], { stdio: 'inherit' });
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', '/run'], { stdio: 'inherit' });
    return;
  }
  const asUser = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const args = [
    '--pdeathsig',
    'KILL',
    'unshare',
    '--net',
    '--mount',
    ...asUser,
    process.execPath,
    ...process.execArgv,
    ...process.argv.slice(1),
  ];
  const run = spawnSync('setpriv', args, {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, [mark]: 'own' },
  });
  if (run.error) throw run.error;
  process.exit(run.status ?? 1);
}
