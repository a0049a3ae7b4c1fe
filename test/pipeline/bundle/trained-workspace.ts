/** A workspace as training leaves it: a label set of the tiny models, and a router network that the real trainer made of it. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runAll } from '../../../src/pipeline/all-steps.ts';
import { stepFolderName, stepHash, trainFormat, type JsonObject, type StepSpec } from '../../../src/api/step-identity.ts';
import type { JobName } from '../../../src/api/r2rrouter-jobs.ts';
import type { TrainingResult } from '../../../src/pipeline/bundle/trained.ts';
import { run } from '../../cluster/commands.ts';
import { models, startTinyEngines, tinyContext, tinyParams } from '../continue/tiny-run.ts';

export const slmFolder = join(models, 'slm');
export const trainerFolder = join(import.meta.dirname, '../../../trainer');
export const trainerEnv = { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1', PYTHONDONTWRITEBYTECODE: '1' };

export interface TrainedWorkspace {
  readonly workspace: string;
  /** The label set. */
  readonly data: string;
  /** The training step's folder. */
  readonly train: string;
  readonly spec: StepSpec<JobName>;
  readonly result: TrainingResult & { readonly recall: number };
}

export async function trainedWorkspace(workspace: string, questions = 24): Promise<TrainedWorkspace> {
  const { engines, close } = await startTinyEngines();
  const params = { ...tinyParams('train', questions), construct: { validationShare: 0.25, testShare: 0.25 } };
  const { construct } = await runAll(params, () => tinyContext(workspace, engines)).finally(close);
  const input = { hash: construct.hash, digest: construct.digest };
  const settings: JsonObject = { 'training.params.num_epochs': 4, 'training.params.batch_size': 64, 'training.seed': 3 };
  const trainSpec: StepSpec<JobName> = { step: 'train', format: trainFormat, params: { settings }, inputs: { construct: input } };
  const hash = stepHash(trainSpec);
  const train = join(workspace, stepFolderName('train', hash));
  const data = join(workspace, stepFolderName('construct', construct.hash), 'data');
  await runTrainer(data, train, settings);
  return {
    ...{ workspace, data, train },
    spec: bundleSpec({ construct: input, train: { hash, digest: hash } }),
    result: JSON.parse(readFileSync(join(train, 'metrics.json'), 'utf8')) as TrainedWorkspace['result'],
  };
}

export function bundleSpec(inputs: StepSpec<JobName>['inputs'], params: JsonObject = {}): StepSpec<JobName> {
  return { step: 'bundle', format: 1, params: { slm: { name: 'tiny-slm' }, ...params }, inputs };
}

export async function trainerPython(): Promise<string> {
  return (await run(join(trainerFolder, 'setup.sh'), [], { env: trainerEnv, timeoutMs: 590_000 })).trim();
}

async function runTrainer(data: string, out: string, settings: JsonObject): Promise<void> {
  const python = await trainerPython();
  const set = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${JSON.stringify(value)}`]);
  const flags = ['--data', data, '--out', out, '--slm', slmFolder, '--hidden-dims', '32,32', '--device', 'cpu', ...set];
  await run(python, ['-m', 'r2r_trainer', ...flags], { env: trainerEnv, cwd: trainerFolder });
}

export function specFile(folder: string, spec: StepSpec<JobName>, name = 'spec.json'): string {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(spec));
  return path;
}
