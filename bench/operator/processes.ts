import { readFileSync } from 'node:fs';

/** Clock ticks a second of /proc: 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** CPU seconds that a process has used, its threads included; 0 when it is gone. */
export function cpuSeconds(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // the program's name, in parentheses, may hold spaces
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  } catch {
    return 0;
  }
}

/** Resident memory in MB (10^6 bytes): the most so far, and now. */
export function memoryMb(pid: number): { readonly peak: number; readonly now: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kilobytes = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0);
  return { peak: (kilobytes('VmHWM') * 1024) / 1e6, now: (kilobytes('VmRSS') * 1024) / 1e6 };
}

/** What the named processes use from now on. */
export class CpuMeter {
  readonly #processes: ReadonlyMap<string, number>;
  readonly #before: ReadonlyMap<string, number>;

  constructor(processes: ReadonlyMap<string, number>) {
    this.#processes = processes;
    this.#before = new Map([...processes].map(([name, pid]) => [name, cpuSeconds(pid)]));
  }

  /** CPU seconds so far, by name. */
  read(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#processes].map(([name, pid]) => [name, round(cpuSeconds(pid) - (this.#before.get(name) ?? 0))]));
  }
}

export function round(value: number, digits = 1): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
