import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson } from '../../api/canonical-json.ts';
import type { JobName } from '../../api/r2rrouter-jobs.ts';
import { stepFolderName, stepHash, type StepSpec } from '../../api/step-identity.ts';
import type { TerminationMessage } from '../outcome.ts';
import { temporaryEnding, writeWhole } from '../workspace/atomic-file.ts';
import { onDisk, type FileSystem } from '../workspace/file-system.ts';
import { readStepFile, writeStepFile } from '../workspace/step-file.ts';

const figures = z.object({ threshold: z.number(), recall: z.number(), positiveRate: z.number() });

const recordSchema = z.object({
  formatVersion: z.literal(1),
  hash: z.string(),
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  /** What routers fetch it by. */
  uri: z.string(),
  threshold: z.number().optional(),
  /** Test rows. */
  rows: z.int().optional(),
  /** On the test rows, at the bundle's threshold; `trainer`: as PyTorch measured it, at the checkpoint's. */
  measured: z.object({ fp32: figures.optional(), int8: figures.optional(), trainer: figures.optional() }),
  /** How far fp32 is from PyTorch, on so many rows. */
  accuracy: z.object({ rows: z.int(), maxDifference: z.number() }).optional(),
  /** The bundle in use, on the same rows, at the threshold that gives this recall. */
  current: figures.extend({ digest: z.string(), minRecall: z.number() }).optional(),
});
/** That the bundling step is done, and what came of it. */
export type BundleRecord = Readonly<z.infer<typeof recordSchema>>;

export function bundleFolder(workspace: string, spec: StepSpec<JobName>): string {
  return join(workspace, stepFolderName(spec.step, stepHash(spec)));
}

/** Makes the step's folder, and removes what killed processes left in it. @throws PipelineError `PIPELINE_SPEC` when it is another step's */
export async function openBundleFolder(fileSystem: FileSystem, workspace: string, spec: StepSpec<JobName>): Promise<string> {
  const folder = bundleFolder(workspace, spec);
  const found = await readStepFile(fileSystem, folder, spec);
  await onDisk(folder, async () => {
    await fileSystem.makeFolder(folder);
    for (const name of await fileSystem.list(folder)) if (name.endsWith(temporaryEnding)) await fileSystem.remove(join(folder, name));
    // the name of a new folder must last as what is put into it does
    if (!found) await fileSystem.syncFolder(workspace);
  });
  if (!found) await writeStepFile(fileSystem, folder, spec);
  return folder;
}

/** Undefined while the step is not done. */
export async function readRecord(fileSystem: FileSystem, folder: string): Promise<BundleRecord | undefined> {
  const path = join(folder, 'manifest.json');
  const bytes = await onDisk(path, () => fileSystem.read(path));
  if (!bytes) return undefined;
  try {
    return recordSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch {
    // damaged, or of another version of this program: it is made again
    return undefined;
  }
}

export async function writeRecord(fileSystem: FileSystem, folder: string, record: BundleRecord): Promise<void> {
  await writeWhole(fileSystem, join(folder, 'manifest.json'), `${canonicalJson(record)}\n`);
}

/** What a run leaves for the operator: the same whenever the record is. The figures are those of int8, which routers run unless told otherwise. */
export function bundleMessage({
  hash,
  digest,
  uri,
  threshold,
  rows,
  measured,
  accuracy,
  current: inUse,
}: BundleRecord): TerminationMessage {
  const { int8, trainer } = measured;
  const { recall, positiveRate } = int8 ?? trainer ?? {};
  const counts = accuracy && { checkedRows: accuracy.rows, maxDifferencePerBillion: Math.ceil(accuracy.maxDifference * 1e9) };
  const current = inUse && { digest: inUse.digest, recall: inUse.recall, positiveRate: inUse.positiveRate, minRecall: inUse.minRecall };
  return {
    ...{ ok: true, step: 'bundle', hash, shard: 0, sealed: true, digest },
    ...(counts && { counts }),
    bundle: {
      digest,
      uri,
      ...(recall !== undefined && { recall, positiveRate }),
      ...(threshold !== undefined && { threshold }),
      ...(rows !== undefined && { rows }),
      ...(current && { current }),
    },
  };
}
