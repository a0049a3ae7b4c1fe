import { readArchive, type ArchiveEntry } from './archive.ts';
import { CheckpointFile } from './checkpoint-file.ts';
import { digestFile, readEntry } from './digest.ts';
import { CheckpointError, quoted } from './errors.ts';
import { readLayout } from './layout.ts';
import { defaultCheckpointLimits, type CheckpointLimits } from './limits.ts';
import { readPickle } from './pickle.ts';
import { readTensor, type StoredTensor } from './stored-tensor.ts';
import { torchObjects } from './torch-objects.ts';
import type { Checkpoint, CheckpointTensor } from './checkpoint.ts';

/** The range of format versions that torch's own reader takes; it writes 3. */
const versions = { first: 1, last: 10 };
const maxNoteBytes = 64;

/** The text of a small entry; undefined when there is none. */
async function readNote(file: CheckpointFile, entry: ArchiveEntry | undefined): Promise<string | undefined> {
  if (entry === undefined) return undefined;
  if (entry.size > maxNoteBytes)
    throw new CheckpointError('CHECKPOINT_ARCHIVE', file.path, `the archive entry ${quoted(entry.name)} has ${entry.size} bytes`);
  return (await readEntry(file, entry)).toString('latin1').trim();
}

/** Throws `CHECKPOINT_FORMAT` unless the archive has a format version and byte order that are read here. */
async function assertFormat(file: CheckpointFile, entries: ReadonlyMap<string, ArchiveEntry>): Promise<void> {
  const refuse = (problem: string) => new CheckpointError('CHECKPOINT_FORMAT', file.path, problem);
  const version = await readNote(file, entries.get('version'));
  if (version === undefined) throw refuse('is a zip archive without the entry "version" of a torch checkpoint');
  if (!/^\d+$/.test(version) || Number(version) < versions.first || Number(version) > versions.last)
    throw refuse(`has torch's format version ${quoted(version)}`);
  // torch before 2.1 writes no byte order
  const order = (await readNote(file, entries.get('byteorder'))) ?? 'little';
  if (order !== 'little') throw refuse(`has the byte order ${quoted(order)}, not "little"`);
}

async function readPickled(file: CheckpointFile, entries: ReadonlyMap<string, ArchiveEntry>, limits: CheckpointLimits): Promise<Buffer> {
  const entry = entries.get('data.pkl');
  if (entry === undefined) throw new CheckpointError('CHECKPOINT_FORMAT', file.path, 'is a zip archive without the entry "data.pkl"');
  if (entry.size > limits.maxPickleBytes)
    throw new CheckpointError('CHECKPOINT_LIMIT', file.path, `data.pkl has ${entry.size} bytes, more than ${limits.maxPickleBytes}`);
  return readEntry(file, entry);
}

function checkpointTensor(file: CheckpointFile, tensor: StoredTensor): CheckpointTensor {
  return { shape: tensor.shape, type: tensor.storage.type, read: () => readTensor(file, tensor) };
}

async function read(file: CheckpointFile, limits: CheckpointLimits): Promise<Checkpoint> {
  if (file.size > limits.maxFileBytes)
    throw new CheckpointError('CHECKPOINT_LIMIT', file.path, `has ${file.size} bytes, more than ${limits.maxFileBytes}`);
  const entries = await readArchive(file, limits);
  await assertFormat(file, entries);
  const root = readPickle(await readPickled(file, entries, limits), file.path, torchObjects(entries, limits), limits);
  const { tensors, ...layout } = readLayout(file.path, root, limits);
  return {
    path: file.path,
    digest: await digestFile(file, entries.values()),
    ...layout,
    tensors: new Map([...tensors].map(([name, tensor]) => [name, checkpointTensor(file, tensor)])),
    close: () => file.close(),
  };
}

/**
 * Reads an upstream router checkpoint: a `.pt` file that `torch.save` (1.6 or newer) wrote for upstream's `save_model`.
 *
 * Nothing in it is executed: the pickle machine knows the operations, names and calls that such a file consists of, and everything else is
 * refused. The whole file is checked (structure, checksums, every tensor's extent) before this resolves; weights are read when asked for,
 * from the same open file. The caller closes it. Throws `CheckpointError`.
 */
export async function readCheckpoint(path: string, limits: Partial<CheckpointLimits> = {}): Promise<Checkpoint> {
  const file = await CheckpointFile.open(path);
  try {
    return await read(file, { ...defaultCheckpointLimits, ...limits });
  } catch (error) {
    await file.close();
    throw error;
  }
}
