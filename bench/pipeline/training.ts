import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { trainerSettings } from '../../src/manifests/router-trainer-settings.ts';
import { runProgram, runR2R } from './processes.ts';

const trainer = join(import.meta.dirname, '../../trainer');

/** As examples/r2rrouter.yaml has it: `spec.training`. */
export const training = {
  hiddenDims: [32],
  expansionFactor: 2,
  dropout: 0.3,
  learningRate: 0.002,
  batchSize: 1024,
  epochs: 12,
  seed: 7,
  minRecall: 0.98,
  normalizeInput: true,
  loss: { posWeight: 1 },
};

export interface Trained {
  readonly seconds: number;
  readonly threshold: number;
  readonly recall: number;
  readonly positiveRate: number;
  /** The router's bundle. */
  readonly bundle: string;
}

/** Trains a router on a label set and makes a bundle of it. Its test rows, which it was not trained on, choose the threshold. */
export async function train(labels: string, slm: string, folder: string): Promise<Trained> {
  const python = execFileSync('bash', [join(trainer, 'setup.sh')], { encoding: 'utf8' }).trim();
  const { settings } = trainerSettings(training);
  const out = join(folder, 'router');
  const { seconds } = await runProgram(
    python,
    [
      ...['-m', 'r2r_trainer', '--data', labels, '--slm', slm, '--out', out, '--device', 'cpu'],
      ...Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${JSON.stringify(value)}`]),
    ],
    trainer,
  );
  const metrics = JSON.parse(readFileSync(join(out, 'metrics.json'), 'utf8')) as Omit<Trained, 'seconds' | 'bundle'>;
  const bundle = join(folder, 'bundle');
  const imported = await runR2R(['router', 'import', join(out, 'router.pt'), '--slm', slm, '-o', bundle]);
  const { threshold, recall, positiveRate } = metrics;
  return { seconds: seconds + imported.seconds, threshold, recall, positiveRate, bundle };
}
