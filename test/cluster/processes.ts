/**
 * The cluster's processes, found in /proc by what they are: one of our programs with our folder on its command line. There are no pid files,
 * hence none that lie.
 */
import { spawn } from 'node:child_process';
import { openSync, closeSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { programNames, type Program } from './programs.ts';
import { until } from './progress.ts';
import { paths, stateFolder } from './settings.ts';

export interface Process {
  readonly pid: number;
  readonly name: string;
  readonly command: readonly string[];
}

/** Programs that ours start in turn and that may outlive them. */
const helpers = ['containerd-shim-runc-v2', 'containerd-shim', 'runc'];
const ours = new Set<string>([...programNames, ...helpers]);

/** Whether a command line is one of the cluster's processes. */
export function isOurs(command: readonly string[]): boolean {
  const [program, ...args] = command;
  return program !== undefined && ours.has(basename(program)) && args.some((arg) => arg.includes(`${stateFolder}/`));
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
  } catch {
    return []; // gone meanwhile
  }
}

export function processes(): Process[] {
  const pids = readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0);
  return pids
    .map((pid) => ({ pid, command: commandLine(pid) }))
    .filter(({ command }) => isOurs(command))
    .map(({ pid, command }) => ({ pid, command, name: basename(command[0] ?? '') }));
}

export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** SIGKILL until none is left: `list` is asked again, since a dying process may have started another. */
export async function killAll(what: string, list: () => readonly number[]): Promise<void> {
  await until(
    `killing ${what}`,
    30_000,
    () => {
      const pids = list();
      for (const pid of pids) signal(pid, 'SIGKILL');
      return Promise.resolve(pids.length === 0);
    },
    50,
  );
}

const sameCommand = (a: readonly string[], b: readonly string[]) => a.length === b.length && a.every((arg, index) => arg === b[index]);

export const logFile = (name: string): string => join(paths.logs, `${name}.log`);

/** Makes the program run with exactly this command line; true if it had to be started. */
export async function ensureRunning(program: Program): Promise<boolean> {
  const running = () => processes().filter(({ name }) => name === program.name);
  if (running().some(({ command }) => sameCommand(command, program.command))) return false;
  await killAll(program.name, () => running().map(({ pid }) => pid));
  const log = openSync(logFile(program.name), 'a');
  const [file, ...args] = program.command;
  const environment = { PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, HOME: stateFolder };
  spawn(file, args, { detached: true, stdio: ['ignore', log, log], cwd: stateFolder, env: environment }).unref();
  closeSync(log);
  return true;
}

/** The last lines of each program's log, for the message of a start that failed. */
export function lastWords(names: readonly string[], lines = 5): string {
  return names
    .map((name) => {
      try {
        return `--- ${logFile(name)}\n${readFileSync(logFile(name), 'utf8').trimEnd().split('\n').slice(-lines).join('\n')}`;
      } catch {
        return `--- ${logFile(name)}: not written`;
      }
    })
    .join('\n');
}
