/** Runs the programs a cluster is made of; a failure says which command and what it printed. */
import { spawn } from 'node:child_process';

/** A child process that ended with another status than 0. `stderr` is its last 4,000 characters. */
export class CommandError extends Error {
  readonly code = 'COMMAND_FAILED';
  readonly stderr: string;

  constructor(command: string, args: readonly string[], outcome: string, stderr: string) {
    const shown = [command, ...args].join(' ');
    super(`${shown.length > 300 ? `${shown.slice(0, 300)}…` : shown}\n  ${outcome}${stderr.trim() ? `: ${stderr.trim()}` : ''}`);
    this.name = 'CommandError';
    this.stderr = stderr;
  }
}

export interface RunOptions {
  readonly input?: string;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** SIGKILLed after this many milliseconds. Default: 120,000. */
  readonly timeoutMs?: number;
  /** Called with each line of stderr as it comes. */
  readonly onLine?: (line: string) => void;
}

/** Standard output of a command, untrimmed. Throws {@link CommandError}. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { input = '', cwd, env = process.env, timeoutMs = 120_000, onLine } = options;
  const child = spawn(command, args, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' });
  let stdout = '';
  let stderr = '';
  let partial = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-4000);
    const lines = (partial + text).split('\n');
    partial = lines.pop() ?? '';
    if (onLine) for (const line of lines) onLine(line);
  });
  // A child that exits without reading its input breaks the pipe; its exit status tells the story.
  child.stdin.on('error', () => undefined).end(input);
  return new Promise((resolve, reject) => {
    child.on('error', (cause) => reject(new CommandError(command, args, cause.message, stderr)));
    child.on('close', (status, signal) => {
      if (status === 0) resolve(stdout);
      else reject(new CommandError(command, args, signal ? `ended by ${signal}` : `exit status ${status ?? 'unknown'}`, stderr));
    });
  });
}

/** Like {@link run}, but a failure is `undefined`: for questions whose answer may be no. */
export async function tryRun(command: string, args: readonly string[], options: RunOptions = {}): Promise<string | undefined> {
  try {
    return await run(command, args, options);
  } catch (error) {
    if (error instanceof CommandError) return undefined;
    throw error;
  }
}
