import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runAll } from '../../src/pipeline/all-steps.ts';
import type { EngineRole } from '../../src/pipeline/step.ts';
import { stepNames, type StepName, type StepSpec } from '../../src/pipeline/step-identity.ts';
import { models, startTinyEngines, tinyContext, tinyParams, type Engines } from '../pipeline/continue/tiny-run.ts';
import { finishedFiles, temporaryFolder } from '../pipeline/files.ts';

const main = join(import.meta.dirname, '../../src/cli/main.ts');

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a step's process leaves for the operator. */
export interface LastWords {
  readonly ok: boolean;
  readonly step: string;
  readonly shard: number;
  readonly code?: string;
  readonly faultyStep?: string;
  readonly field?: string;
  readonly file?: string;
  readonly message?: string;
  readonly fix?: string;
  readonly retryable?: boolean;
  readonly sealed?: boolean;
}

/** The tiny models' servers, what an uninterrupted run of all steps leaves, and steps as processes of their own. */
export class PipelineProcesses implements AsyncDisposable {
  readonly folder: string;
  readonly whole: string;
  readonly engines: Engines;
  readonly #close: () => Promise<void>;

  private constructor(folder: string, engines: Engines, close: () => Promise<void>) {
    this.folder = folder;
    this.whole = join(folder, 'whole');
    this.engines = engines;
    this.#close = close;
  }

  static async start(questions: number): Promise<PipelineProcesses> {
    const { engines, close } = await startTinyEngines();
    const processes = new PipelineProcesses(temporaryFolder(), engines, close);
    const params = { ...tinyParams('train', questions), construct: { validationShare: 0.2, testShare: 0.2 } };
    await runAll(params, () => tinyContext(processes.whole, engines));
    return processes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    rmSync(this.folder, { recursive: true });
  }

  /** Flags for these servers and their models. */
  servers(changes: Partial<Record<EngineRole, { readonly url?: string; readonly folder?: string }>> = {}): readonly string[] {
    return (['slm', 'llm', 'verifier'] as const).flatMap((role) => [
      ...['--engine', `${role}=${changes[role]?.url ?? this.engines[role].url}`],
      ...['--model', `${role}=${changes[role]?.folder ?? join(models, role)}`],
    ]);
  }

  /** The folder of a step in the uninterrupted run. */
  folderOf(step: StepName): string {
    return readdirSync(this.whole).find((each) => each.startsWith(`${step}-`)) ?? assert.fail(step);
  }

  specOf(step: StepName): StepSpec {
    return JSON.parse(readFileSync(join(this.whole, this.folderOf(step), 'step.json'), 'utf8')) as StepSpec;
  }

  /** A workspace in which the steps before one are done. */
  before(step: StepName, name: string): string {
    const workspace = join(this.folder, name);
    for (const done of stepNames.slice(0, stepNames.indexOf(step)))
      cpSync(join(this.whole, this.folderOf(done)), join(workspace, this.folderOf(done)), { recursive: true });
    return workspace;
  }

  /** Starts a step as a Job does. `words` reads what it has left. */
  start(
    workspace: string,
    spec: StepSpec,
    flags: readonly string[] = this.servers(),
    wrap: readonly string[] = [],
  ): { readonly child: ChildProcess; readonly ended: Promise<Ended>; readonly words: () => LastWords } {
    const [specPath, words] = [`${workspace}.spec.json`, `${workspace}.words`];
    writeFileSync(specPath, JSON.stringify(spec));
    rmSync(words, { force: true });
    const run = ['pipeline', 'run', '--workspace', workspace, '--spec', specPath, '--termination-log', words, '--status-port', '0'];
    const [program = '', ...args] = [...wrap, process.execPath, main, ...run, ...flags];
    const child = spawn(program, args);
    const output = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) child[stream].on('data', (chunk: Buffer) => (output[stream] += chunk.toString()));
    return {
      child,
      ended: once(child, 'close').then(([code]) => ({ code: code as number | null, ...output })),
      words: () => JSON.parse(readFileSync(words, 'utf8')) as LastWords,
    };
  }

  /** Runs a step that fails. @returns its last words */
  async refused(workspace: string, spec: StepSpec, flags: readonly string[], code: number): Promise<LastWords> {
    const running = this.start(workspace, spec, flags);
    const ended = await running.ended;
    assert.equal(ended.code, code, ended.stdout + ended.stderr);
    const words = running.words();
    assert.deepEqual([words.ok, words.step, words.shard], [false, spec.step, 0]);
    assert.ok(words.fix !== undefined && words.fix !== '' && words.message?.includes(words.fix), JSON.stringify(words));
    return words;
  }

  async done(workspace: string, spec: StepSpec, flags: readonly string[] = this.servers()): Promise<void> {
    const running = this.start(workspace, spec, flags);
    const { code, stdout, stderr } = await running.ended;
    assert.equal(code, 0, stdout + stderr);
    assert.equal(running.words().sealed, true);
  }

  /** That a step's data and manifest are those of the uninterrupted run. */
  assertSame(workspace: string, step: StepName): void {
    const of = (folder: string) => {
      const path = join(folder, this.folderOf(step));
      assert.ok(existsSync(path), path);
      return Object.fromEntries(Object.entries(finishedFiles(path)).filter(([name]) => /^(data\/|manifest)/.test(name)));
    };
    const [found, expected] = [of(workspace), of(this.whole)];
    assert.ok(Object.keys(expected).length >= 2);
    const differing = Object.keys({ ...found, ...expected }).filter((name) => found[name] !== expected[name]);
    assert.deepEqual(differing, [], `${step} is another than that of an uninterrupted run`);
  }
}
