import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { pino } from 'pino';
import { PipelineError } from '../pipeline/errors.ts';
import type { Log } from '../pipeline/log.ts';
import { exitCodeOf, exitCodes, terminationText, type TerminationMessage } from '../pipeline/outcome.ts';
import { Progress } from '../pipeline/progress.ts';
import type { Clock, EngineRole, StepEngine } from '../pipeline/step.ts';
import { UsageError } from './command.ts';
import { engineFlags, openEngines } from './pipeline-engines.ts';
import { startStatusServer } from './pipeline-status-server.ts';

const progressIntervalMs = 10_000;
const signalCodes = { SIGINT: 130, SIGTERM: 143 } as const;

/** What a command that runs steps is given. */
export interface StepProcess {
  readonly log: Log;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly engines: Readonly<Partial<Record<EngineRole, StepEngine>>>;
  /** Progress of the step that begins now; log and status server tell of it from here on. */
  readonly begin: () => Progress;
}

export interface ProcessOptions {
  /** As the user types it. */
  readonly name: string;
  readonly argv: readonly string[];
  /** Where its log goes: 2 where stdout has the results. */
  readonly logTo: 1 | 2;
}

/** What the flags of a command ask for. */
export interface ProcessWork {
  readonly engine: readonly string[] | undefined;
  readonly model: readonly string[] | undefined;
  readonly statusPort: number;
  readonly run: (given: StepProcess) => Promise<TerminationMessage>;
}

/** Monotonic. */
const clock: Clock = {
  nowMs: () => performance.now(),
  pause: (delayMs, signal) => sleep(delayMs, undefined, { signal }),
};

/**
 * Runs steps and ends the process: 0 when they are done, 1 when running it again may help, 2 for a wrong command line, 3 when a person is needed,
 * 130 or 143 when a signal stopped it. Its last words go to `--termination-log`, and say the same.
 *
 * @param prepare reads the flags; undefined when help was asked for. @throws UsageError
 */
export async function runProcessOfSteps(
  { name, argv, logTo }: ProcessOptions,
  prepare: () => Promise<ProcessWork | undefined>,
): Promise<void> {
  // A step's live data is the same at its first question and at its last. Left alone, the heap grows to several times that before it is looked at.
  setFlagsFromString('--heap-growing-percent=20');
  const log = pino({ name: 'r2r-pipeline' }, pino.destination({ fd: logTo, sync: true }));
  const stop = new AbortController();
  let stoppedBy: keyof typeof signalCodes | undefined;
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      // whoever asks twice does not want to wait
      if (stoppedBy) process.exit(signalCodes[signal]);
      stoppedBy = signal;
      log.info({ signal }, 'stopping');
      stop.abort(new Error(`stopped by ${signal}`));
    });
  let message: TerminationMessage;
  try {
    const work = await prepare();
    if (!work) return;
    message = await runWork(work, log, stop.signal);
  } catch (error) {
    message = failureOutsideSteps(error);
  }
  if (!message.ok) {
    log.error({ ...message }, 'failed');
    console.error(`${name}: ${message.code}: ${message.message}${message.code === 'USAGE' ? `; \`${name} --help\` lists the flags` : ''}`);
  }
  leaveLastWords(argv, message, log);
  process.exit(
    !message.ok && stoppedBy ? signalCodes[stoppedBy] : !message.ok && message.code === 'USAGE' ? exitCodes.usage : exitCodeOf(message),
  );
}

async function runWork(work: ProcessWork, log: Log, signal: AbortSignal): Promise<TerminationMessage> {
  const engines = await openEngines(engineFlags(work.engine, work.model));
  let progress = new Progress(clock);
  const status = await startStatusServer(work.statusPort, () => progress.report());
  log.info({ status: status.url }, 'progress is served');
  const told = setInterval(() => log.info(progress.report(), 'step progress'), progressIntervalMs);
  try {
    return await work.run({ log, clock, signal, engines, begin: () => (progress = new Progress(clock)) });
  } finally {
    clearInterval(told);
    log.info(progress.report(), 'step progress');
    status.close();
    await Promise.all(Object.values(engines).map(({ client }) => client.destroy()));
  }
}

/** What failed in no step of its own: a command line that cannot be followed, a model or token that is not there; or in one of several. */
function failureOutsideSteps(error: unknown): TerminationMessage {
  const of = { ok: false, step: '', hash: '', shard: 0 } as const;
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof UsageError) return { ...of, code: 'USAGE', message: text, fix: 'correct the command line', retryable: false };
  if (error instanceof PipelineError) {
    const { code, message, fix, file, field, step = '', retryable } = error;
    const at = { ...(file !== undefined && { file }), ...(field !== undefined && { field }) };
    return { ...of, step, code, ...at, message, fix, retryable };
  }
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'PIPELINE_DEFECT';
  const lasting = error instanceof Error && 'retryable' in error ? error.retryable !== true : code.startsWith('MODEL_');
  return { ...of, code, message: text, fix: "see the pod's log", retryable: !lasting };
}

function leaveLastWords(argv: readonly string[], message: TerminationMessage, log: Log): void {
  const at = argv.findIndex((each) => each === '--termination-log' || each.startsWith('--termination-log='));
  const path = at < 0 ? undefined : argv[at]?.includes('=') ? argv[at].slice(argv[at].indexOf('=') + 1) : argv[at + 1];
  if (path === undefined) return;
  try {
    writeFileSync(path, `${terminationText(message)}\n`);
  } catch (err) {
    log.error({ err, path }, 'the termination message cannot be written');
  }
}
