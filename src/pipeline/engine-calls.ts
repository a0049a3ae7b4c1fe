import { EngineError, type GenerateAnswer, type GenerateCall } from '../sglang/index.ts';
import { PipelineError } from './errors.ts';
import type { Clock, EngineRole, StepEngine, Tuning } from './step.ts';
import type { Progress } from './progress.ts';

/** Longest pause before another try. */
const maxDelayMs = 60_000;

export interface EngineCallsOptions {
  readonly engines: Readonly<Partial<Record<EngineRole, StepEngine>>>;
  readonly tuning: Tuning;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/**
 * All calls of a step to its engines: so many at a time, tried again when the failure may pass. What fails for good ends the step: an answer
 * that is missing must never look like an empty one.
 */
export class EngineCalls {
  readonly #options: EngineCallsOptions;
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(options: EngineCallsOptions) {
    this.#options = options;
    this.#free = options.tuning.concurrency;
  }

  /** @throws PipelineError `PIPELINE_PARAMS` when the step was given no engine of this role */
  engine(role: EngineRole): StepEngine {
    const engine = this.#options.engines[role];
    if (engine) return engine;
    throw new PipelineError('PIPELINE_PARAMS', `no ${role} is given`, `name its server and its model's folder`, {
      field: `engines.${role}`,
    });
  }

  /** A greedy continuation. @throws PipelineError `PIPELINE_ENGINE`; the signal's reason */
  generate(role: EngineRole, call: Omit<GenerateCall, 'timeoutMs'>): Promise<GenerateAnswer> {
    return this.run(role, ({ client }, timeoutMs, signal) => client.generate({ ...call, timeoutMs }, signal));
  }

  /**
   * Any call, when it is its turn.
   *
   * @param attempt one try; its EngineErrors tell whether there is another
   * @throws PipelineError `PIPELINE_ENGINE`; the signal's reason
   */
  async run<T>(role: EngineRole, attempt: (engine: StepEngine, timeoutMs: number, signal: AbortSignal) => Promise<T>): Promise<T> {
    const { tuning, clock, progress, signal } = this.#options;
    const engine = this.engine(role);
    for (let tries = 0; ; tries++) {
      await this.#enter();
      let failure: unknown;
      progress.call(1);
      try {
        signal.throwIfAborted();
        return await attempt(engine, tuning.requestTimeoutMs, signal);
      } catch (error) {
        failure = error;
      } finally {
        progress.call(-1);
        this.#leave();
      }
      signal.throwIfAborted();
      if (!(failure instanceof EngineError)) throw failure;
      if (!failure.retryable || tries >= tuning.maxRetries) throw failed(role, failure, tries + 1);
      await clock.pause(Math.min(maxDelayMs, Math.max(tuning.retryDelayMs * 2 ** tries, failure.retryAfterMs ?? 0)), signal);
    }
  }

  async #enter(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free++;
  }
}

function failed(role: EngineRole, cause: EngineError, tries: number): PipelineError {
  const fix = cause.retryable
    ? 'see its log; the step goes on where it was when it is run again'
    : 'check that it serves the model of this step';
  const problem = `the ${role} failed${tries > 1 ? ` ${tries} times` : ''}: ${cause.message}`;
  return new PipelineError('PIPELINE_ENGINE', problem, fix, { field: `engines.${role}`, cause, retryable: cause.retryable });
}
