import { spawn, type ChildProcess } from 'node:child_process';
import { request } from 'undici';
import type { EngineState, PlannedEngine } from '../api/engine-plan.ts';

/** How long an engine may take to say whether it is well, in ms: the kubelet asks for both, and waits five seconds. */
const answerTimeoutMs = 2_000;

/** One of the model servers that a launcher looks after, in a process group of its own. */
export class EngineProcess {
  readonly plan: PlannedEngine;
  #child: ChildProcess | undefined;
  #wasReady = false;
  /** How it ended, in words. */
  #end: string | undefined;
  readonly #ended = Promise.withResolvers<string>();

  constructor(plan: PlannedEngine) {
    this.plan = plan;
  }

  /** Resolves to how it ended, in words. */
  get ended(): Promise<string> {
    return this.#ended.promise;
  }

  get wasReady(): boolean {
    return this.#wasReady;
  }

  /** @param program - what `r2r` at the head of a command stands for */
  start(program: readonly string[], environment: NodeJS.ProcessEnv): void {
    const [name = '', ...rest] = this.plan.command;
    const [file = '', ...args] = name === 'r2r' ? [...program, ...rest] : [name, ...rest];
    this.#child = spawn(file, args, { detached: true, stdio: 'inherit', env: { ...environment, ...this.plan.env } });
    const end = (how: string): void => this.#ended.resolve((this.#end ??= how));
    this.#child.once('error', (error) => end(`cannot be started: ${error.message}`));
    this.#child.once('exit', (code, signal) => end(code === null ? `ended with signal ${signal}` : `ended with exit status ${code}`));
  }

  /** Whether it takes requests now; remembers that it did. */
  async isReady(): Promise<boolean> {
    const ready = await this.answers('/ready');
    this.#wasReady ||= ready && this.#child !== undefined;
    return ready;
  }

  async answers(path: string): Promise<boolean> {
    try {
      const { statusCode, body } = await request(this.plan.url + path, {
        // no connection is kept, which the engine might close just when it is used again
        reset: true,
        signal: AbortSignal.timeout(answerTimeoutMs),
      });
      await body.dump();
      return statusCode === 200;
    } catch {
      return false;
    }
  }

  async state(): Promise<EngineState> {
    if (!this.#child) return 'waiting';
    if (this.#end !== undefined) return 'ended';
    if (!this.#wasReady) return 'starting';
    return (await this.answers('/ready')) ? 'ready' : 'unready';
  }

  /** Asks it to finish what it has and end; what is left of it after `timeoutMs` is killed. */
  async stop(timeoutMs: number): Promise<void> {
    if (!this.#child) return;
    if (this.#end === undefined) this.#child.kill('SIGTERM');
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), timeoutMs);
    await Promise.race([this.ended, late.promise]);
    clearTimeout(timer);
    this.kill();
  }

  /** Kills it and all it has started. */
  kill(): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }
}
