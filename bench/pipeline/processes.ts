import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { stepEnv } from '../../src/manifests/index.ts';
import { routerNodeFlags } from '../router-image.ts';

const root = join(import.meta.dirname, '../..');
const main = join(root, 'src/cli/main.ts');
const children = new Set<ChildProcess>();
/** Linux: `CLK_TCK`, which is 100 on every kernel that is built these days. */
const ticksPerSecond = 100;

export function stopAll(): void {
  for (const child of children) child.kill();
}

/** A model server in its own process, `r2r engine`. */
export interface EngineProcess {
  readonly url: string;
  readonly folder: string;
  /** Of all its threads, so far. */
  cpuSeconds(): number;
}

export async function startEngineProcess(folder: string, flags: readonly string[]): Promise<EngineProcess> {
  const child = start(['engine', '--model-path', folder, '--port', '0', ...flags], {});
  let said = '';
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        const ready = /"engine ready","url":"([^"]+)"/.exec(said)?.[1];
        if (ready !== undefined) resolve(ready);
      });
    child.once('exit', (code) => reject(new Error(`r2r engine ended with ${code}: ${said}`)));
  });
  return { url, folder, cpuSeconds: () => cpuSecondsOf(child.pid) };
}

/** What a process has done. */
export interface Ended {
  readonly stdout: string;
  readonly seconds: number;
  /** Its largest resident set, from `/proc`; it is looked at ten times a second, and the kernel keeps the maximum. */
  readonly peakMiB: number;
  /** Up to a tenth of a second before its end. */
  readonly cpuSeconds: number;
}

/** Runs `r2r` with these arguments to its end, in the environment of a Job. @throws when it fails */
export async function runR2R(args: readonly string[]): Promise<Ended> {
  return ended(start(args, stepEnv), `r2r ${args[0]} ${args[1]}`);
}

/** Runs another program to its end. @throws when it fails */
export async function runProgram(program: string, args: readonly string[], folder: string): Promise<Ended> {
  const child = spawn(program, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  children.add(child);
  return ended(child, program);
}

function start(args: readonly string[], environment: Readonly<Record<string, string>>): ChildProcess {
  const child = spawn(process.execPath, [...routerNodeFlags, main, ...args], {
    cwd: root,
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  return child;
}

async function ended(child: ChildProcess, name: string): Promise<Ended> {
  const started = performance.now();
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) child[stream]?.on('data', (chunk: Buffer) => (output[stream] += chunk.toString()));
  let [peakMiB, cpuSeconds] = [0, 0];
  const look = (): void => {
    peakMiB = Math.max(peakMiB, peakMiBOf(child.pid));
    cpuSeconds = Math.max(cpuSeconds, cpuSecondsOf(child.pid));
  };
  const looking = setInterval(look, 100);
  const [code] = (await once(child, 'close')) as [number | null];
  clearInterval(looking);
  children.delete(child);
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${output.stderr || output.stdout.slice(-2000)}`);
  return { stdout: output.stdout, seconds: (performance.now() - started) / 1000, peakMiB, cpuSeconds };
}

function peakMiBOf(pid: number | undefined): number {
  return Number(/^VmHWM:\s*(\d+) kB$/m.exec(proc(pid, 'status'))?.[1] ?? 0) / 1024;
}

function cpuSecondsOf(pid: number | undefined): number {
  // the program's name, in brackets, may hold spaces
  const fields = proc(pid, 'stat').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / ticksPerSecond;
}

/** Empty once the process is gone. */
function proc(pid: number | undefined, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
