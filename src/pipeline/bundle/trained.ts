import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { stepFolderName } from '../../api/step-identity.ts';
import { PipelineError } from '../errors.ts';
import { errorCode, onDisk } from '../workspace/file-system.ts';

const fileName = z.string().regex(/^[^/\0]+$/);
const split = z.object({
  filters: z.array(z.tuple([z.string(), z.record(z.string(), z.unknown())])),
  label_column: z.string(),
  input_prefix: z.string(),
});
const splits = z.object({ train: split, validation: split, test: split });

/** The settings of a run, of which those matter here that say which rows were scored, and how the threshold was chosen. */
const settings = z.object({
  splits,
  held_out_share: z.number(),
  split_seed: z.int(),
  objective: z.string(),
  min_recall: z.number(),
  grid: z.int(),
});
export type TrainingSettings = z.infer<typeof settings>;

const plainSplit: SplitSettings = { filters: [], label_column: 'divergent', input_prefix: 'small_' };

/** The trainer's defaults, for rows of a label set that a checkpoint from elsewhere is measured on. */
export const plainSettings: TrainingSettings = {
  splits: { train: plainSplit, validation: plainSplit, test: plainSplit },
  held_out_share: 0.2,
  split_seed: 42,
  objective: 'skip',
  min_recall: 0,
  grid: 0,
};

/** What the trainer says of a run in metrics.json, as far as it is read here. */
const resultSchema = z.object({
  format: z.literal(1),
  model: z.object({ file: fileName, digest: z.string().regex(/^sha256:[0-9a-f]{64}$/) }),
  threshold: z.number(),
  test: z.object({ rows: z.int(), positives: z.int(), recall: z.number(), positiveRate: z.number() }),
  identity: settings,
});
export type TrainingResult = z.infer<typeof resultSchema>;
export type SplitSettings = z.infer<typeof split>;

const checkSchema = z.object({
  formatVersion: z.literal(1),
  // none would pass as compared: a trainer that can name no row writes no file
  rows: z.array(z.object({ dataId: z.union([z.int(), z.string()]), tokenId: z.int(), probability: z.number().min(0).max(1) })).min(1),
});
/** Probabilities that PyTorch gave for some test rows with the weights of the checkpoint. */
export type TrainerCheck = z.infer<typeof checkSchema>;

/** What the training step has made. */
export interface Trained {
  /** The `.pt` file. */
  readonly checkpoint: string;
  /** Its sha256, hexadecimal. */
  readonly digest: string;
  readonly result: TrainingResult;
  /** Undefined: this trainer left none. */
  readonly check: TrainerCheck | undefined;
}

/**
 * Reads the output of the training step, the checkpoint checked against its digest. A damaged one is set aside together with the result, so that
 * the training step makes it again.
 *
 * @throws PipelineError `PIPELINE_INPUT_MISSING`, `PIPELINE_PART_CORRUPT` naming the step
 */
export async function readTrained(workspace: string, hash: string): Promise<Trained> {
  const folder = join(workspace, stepFolderName('train', hash));
  const path = join(folder, 'metrics.json');
  const result = await readJson(path, resultSchema);
  if (!result) throw missing('it is not done', 'run train first', path);
  const checkpoint = join(folder, result.model.file);
  const found = await digestOf(checkpoint);
  if (`sha256:${found ?? ''}` !== result.model.digest) {
    await onDisk(path, () => rename(path, `${path}.corrupt`));
    const problem = found === undefined ? 'the checkpoint is missing' : 'the checkpoint is not what was written: its digest has changed';
    const fix = 'run step train again, which makes it again; then check the volume';
    throw new PipelineError('PIPELINE_PART_CORRUPT', problem, fix, { step: 'train', file: checkpoint });
  }
  return { checkpoint, digest: found ?? '', result, check: await readJson(join(folder, 'check.json'), checkSchema) };
}

/** Undefined: there is none. */
async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await onDisk(path, () =>
    readFile(path, 'utf8').catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }),
  );
  if (text === undefined) return undefined;
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    const field = cause instanceof z.ZodError ? (cause.issues[0]?.path.join('.') ?? '') : '';
    const problem = field === '' ? 'it is no JSON' : `its ${field} is not what the trainer writes`;
    throw missing(problem, 'let the version of the trainer and of this program be the same, and train again', path, field, cause);
  }
}

function missing(problem: string, fix: string, file: string, field?: string, cause?: unknown): PipelineError {
  return new PipelineError('PIPELINE_INPUT_MISSING', problem, fix, { step: 'train', file, field, cause });
}

async function digestOf(path: string): Promise<string | undefined> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 }) as AsyncIterable<Buffer>) hash.update(chunk);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    return onDisk(path, () => Promise.reject(error as Error));
  }
  return hash.digest('hex');
}
