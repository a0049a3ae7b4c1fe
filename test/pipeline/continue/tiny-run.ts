import { join } from 'node:path';
import { loadModelConfig } from '../../../src/model/model-config.ts';
import { loadTokenizer } from '../../../src/model/tokenizer-folder.ts';
import { startEngine, type RunningEngine } from '../../../src/engine/server.ts';
import { continueStep } from '../../../src/pipeline/continue/continue-step.ts';
import { convertStep } from '../../../src/pipeline/convert/convert-step.ts';
import { prefillStep } from '../../../src/pipeline/prefill/prefill-step.ts';
import { Progress } from '../../../src/pipeline/progress.ts';
import { respondStep } from '../../../src/pipeline/respond/respond-step.ts';
import { makeSpec, runStep } from '../../../src/pipeline/run-step.ts';
import { openInputs } from '../../../src/pipeline/step-reader.ts';
import type { StepInput, StepName } from '../../../src/pipeline/step-identity.ts';
import { defaultTuning, type EngineRole, type StepContext, type StepDefinition, type StepEngine } from '../../../src/pipeline/step.ts';
import type { Row, TableSchema } from '../../../src/pipeline/table.ts';
import { verifyStep } from '../../../src/pipeline/verify/verify-step.ts';
import type { StepManifest } from '../../../src/pipeline/workspace/manifest.ts';
import { Workspace } from '../../../src/pipeline/workspace/workspace.ts';
import { SglangClient } from '../../../src/sglang/index.ts';
import { processClock, silentLog } from '../toy-steps.ts';

export const models = join(import.meta.dirname, '../../../examples/models');

export type Engines = Readonly<Record<EngineRole, StepEngine>>;

export const tinySteps = { convert: convertStep, respond: respondStep, prefill: prefillStep, continue: continueStep, verify: verifyStep };
export type TinyStep = keyof typeof tinySteps;

/** What differs from the defaults. */
export function tinyParams(problems: 'train' | 'held-out', count: number): Readonly<Record<TinyStep, Readonly<Record<string, unknown>>>> {
  const pair = { slm: { name: 'tiny-slm' }, llm: { name: 'tiny-llm' } };
  return {
    convert: {
      datasets: [
        {
          name: 'tiny',
          path: join(models, `problems/${problems}.jsonl`),
          idField: 'id',
          question: { field: 'question' },
          answerField: 'answer',
          numItems: count,
        },
      ],
    },
    respond: { models: pair },
    prefill: { models: { slm: pair.slm } },
    continue: { models: pair },
    verify: { models: { verifier: { name: 'tiny-verifier' } }, prompt: 'plain', maxNewTokens: 1 },
  };
}

/** An engine of a step: a server and the model it serves. */
export async function stepEngine(role: EngineRole, url: string): Promise<StepEngine> {
  const modelFolder = join(models, role);
  const [{ vocabSize }, tokenizer] = await Promise.all([loadModelConfig(modelFolder), loadTokenizer(modelFolder)]);
  return { role, url, client: new SglangClient({ url, vocabSize }), tokenizer, modelFolder };
}

/** The three example models, served in this process. */
export async function startTinyEngines(): Promise<{ readonly engines: Engines; readonly close: () => Promise<void> }> {
  const running: RunningEngine[] = [];
  const serve = async (role: EngineRole): Promise<StepEngine> => {
    const options = { modelPath: join(models, role), host: '127.0.0.1', port: 0, returnHiddenStates: role === 'slm' };
    const engine = await startEngine(options, (error) => {
      throw error;
    });
    running.push(engine);
    return stepEngine(role, engine.url);
  };
  const engines = { slm: await serve('slm'), llm: await serve('llm'), verifier: await serve('verifier') };
  return {
    engines,
    async close() {
      await Promise.all(Object.values(engines).map(({ client }) => client.destroy()));
      await Promise.all(running.map((engine) => engine.close()));
    },
  };
}

export function tinyContext(folder: string, engines: Partial<Engines>, changes: Partial<StepContext> = {}): StepContext {
  return {
    workspace: new Workspace(folder),
    engines,
    tuning: { ...defaultTuning, retryDelayMs: 1 },
    sources: { cacheFolder: join(folder, 'cache') },
    shard: { index: 0, count: 1 },
    clock: processClock,
    log: silentLog,
    progress: new Progress(processClock),
    signal: new AbortController().signal,
    ...changes,
  };
}

export type Manifests = Partial<Record<StepName, StepManifest>>;

/** Runs one step on what those before it have left. */
export async function runTinyStep(
  name: TinyStep,
  params: Readonly<Record<string, unknown>>,
  before: Manifests,
  context: StepContext,
): Promise<StepManifest> {
  const definition = tinySteps[name] as StepDefinition<unknown>;
  const inputs = Object.fromEntries(
    definition.inputs.map((input): [StepName, StepInput] => [
      input,
      { hash: before[input]?.hash ?? '', digest: before[input]?.digest ?? '' },
    ]),
  );
  const outcome = await runStep(definition, makeSpec(definition, params, inputs), context);
  if (!outcome.sealed) throw new Error(`${name} is not sealed`);
  return outcome.manifest;
}

/** Runs the steps one after the other, up to `last`. */
export async function runTinySteps(
  params: Readonly<Record<TinyStep, Readonly<Record<string, unknown>>>>,
  contextOf: (step: TinyStep) => StepContext,
  last: TinyStep = 'verify',
): Promise<Manifests> {
  let done: Manifests = {};
  for (const step of ['convert', 'respond', 'prefill', 'continue', 'verify'] as const) {
    done = { ...done, [step]: await runTinyStep(step, params[step], done, contextOf(step)) };
    if (step === last) break;
  }
  return done;
}

/** All rows of a table of a step that is done. */
export async function rowsOf<S extends TableSchema>(
  folder: string,
  manifest: StepManifest,
  table: string,
  schema: S,
): Promise<readonly Row<S>[]> {
  const { step, hash, digest } = manifest;
  const spec = { step: 'construct', format: 1, params: {}, inputs: { [step]: { hash, digest } } } as const;
  const inputs = await openInputs(new Workspace(folder), spec, [step]);
  const rows: Row<S>[] = [];
  for await (const row of inputs.of(step).rows(table, schema)) rows.push(row);
  return rows;
}
