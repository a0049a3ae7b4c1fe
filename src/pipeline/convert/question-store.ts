import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson } from '../../api/canonical-json.ts';
import { PipelineError } from '../errors.ts';
import type { Counts } from '../step.ts';
import { AtomicFile, writeWhole } from '../workspace/atomic-file.ts';
import { onDisk, type FileSystem } from '../workspace/file-system.ts';
import type { SetQuestion, Skipped } from './question-set.ts';

const indexName = 'index';
const blockSchema = z.object({
  offset: z.int().nonnegative(),
  bytes: z.int().nonnegative(),
  sha256: z.string(),
  questions: z.int().positive(),
  counts: z.record(z.string(), z.int().nonnegative()),
});
const indexSchema = z.object({
  formatVersion: z.literal(1),
  file: z.string().regex(/^questions-\d+$/),
  /** What was read, hubs with their commits. */
  sources: z.array(z.object({ dataset: z.string(), address: z.string(), questions: z.int().nonnegative() })),
  blocks: z.array(blockSchema),
});

/** Consecutive questions, and what was left out before or among them. */
export type QuestionBlock = Readonly<z.infer<typeof blockSchema>>;
export type QuestionIndex = Readonly<z.infer<typeof indexSchema>>;

const questionSchema = z.tuple([z.string(), z.string(), z.string(), z.string(), z.string()]);

/**
 * The converted questions, in the step's folder: sources are read once for a step, so that its parts fit together though a branch or a file has
 * changed meanwhile, and no part reads a source from its beginning. In memory there is a block at a time.
 */
export class QuestionStore {
  readonly #fileSystem: FileSystem;
  readonly #folder: string;

  constructor(fileSystem: FileSystem, folder: string) {
    this.#fileSystem = fileSystem;
    this.#folder = folder;
  }

  /** Undefined while the sources have not been read. */
  async index(): Promise<QuestionIndex | undefined> {
    const path = join(this.#folder, indexName);
    const bytes = await onDisk(path, () => this.#fileSystem.read(path));
    try {
      return bytes && indexSchema.parse(JSON.parse(bytes.toString('utf8')));
    } catch {
      // of another version of this program: then the sources are read again
      return undefined;
    }
  }

  /**
   * Writes questions, a line each, unless another shard has done so by then: then its questions are the ones.
   *
   * @param skipped counts what is left out while questions are read
   */
  async fill(
    shard: number,
    blockQuestions: number,
    questions: AsyncIterable<SetQuestion>,
    skipped: Skipped,
    sources: () => QuestionIndex['sources'],
  ): Promise<QuestionIndex> {
    const file = `questions-${shard}`;
    await onDisk(this.#folder, () => this.#fileSystem.makeFolder(this.#folder));
    const target = await AtomicFile.create(this.#fileSystem, join(this.#folder, file));
    try {
      const blocks = await writeBlocks(target, blockQuestions, questions, skipped);
      const first = await this.index();
      if (first) return first;
      await target.complete();
      await onDisk(this.#folder, () => this.#fileSystem.syncFolder(this.#folder));
      const index: QuestionIndex = { formatVersion: 1, file, sources: [...sources()], blocks };
      await writeWhole(this.#fileSystem, join(this.#folder, indexName), `${canonicalJson(index)}\n`, ownerOf(shard));
      return index;
    } finally {
      await target.discard();
    }
  }

  /** What a killed process of this shard has left: others' may be under way. */
  async removeLeftovers(shard: number): Promise<void> {
    const own = [`questions-${shard}.`, `${indexName}.${ownerOf(shard)}`];
    for (const name of await onDisk(this.#folder, () => this.#fileSystem.list(this.#folder)))
      if (own.some((beginning) => name.startsWith(beginning))) await onDisk(name, () => this.#fileSystem.remove(join(this.#folder, name)));
  }

  /** @throws PipelineError `PIPELINE_PART_CORRUPT` when they are not what was written; then the next run reads the sources again */
  async read({ file }: QuestionIndex, { offset, bytes, sha256 }: QuestionBlock): Promise<readonly SetQuestion[]> {
    const path = join(this.#folder, file);
    const text = await readAt(path, offset, bytes);
    if (text === undefined || createHash('sha256').update(text).digest('hex') !== sha256) {
      const indexPath = join(this.#folder, indexName);
      await onDisk(indexPath, () => this.#fileSystem.remove(indexPath));
      const fix = 'run step convert again, which reads the data sets again; then check the volume';
      throw new PipelineError('PIPELINE_PART_CORRUPT', 'the converted questions are not what was written', fix, { file: path });
    }
    const lines = text.toString('utf8').trimEnd().split('\n');
    return lines.map((line) => {
      const [id, question, source, type, answer] = questionSchema.parse(JSON.parse(line));
      return { id, question, source, type, answer };
    });
  }
}

const ownerOf = (shard: number): string => `${shard}-`;

async function writeBlocks(
  target: AtomicFile,
  blockQuestions: number,
  questions: AsyncIterable<SetQuestion>,
  skipped: Skipped,
): Promise<QuestionBlock[]> {
  const blocks: QuestionBlock[] = [];
  let lines: string[] = [];
  let counted: Counts = { ...skipped };
  const flush = async (): Promise<void> => {
    const bytes = Buffer.from(lines.join(''));
    const now = { ...skipped };
    const counts = Object.fromEntries(Object.entries(now).map(([name, count]) => [name, count - (counted[name] ?? 0)]));
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    blocks.push({ offset: target.bytes, bytes: bytes.length, sha256, questions: lines.length, counts });
    await target.write(bytes);
    counted = now;
    lines = [];
  };
  for await (const { id, question, source, type, answer } of questions) {
    // what is left out behind a block's last question belongs to the next block, or to the last of all
    if (lines.length === blockQuestions) await flush();
    lines.push(`${JSON.stringify([id, question, source, type, answer])}\n`);
  }
  if (lines.length > 0) await flush();
  return blocks;
}

async function readAt(path: string, offset: number, length: number): Promise<Buffer | undefined> {
  const handle = await open(path, 'r').catch(() => undefined);
  if (!handle) return undefined;
  try {
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await handle.read(buffer, 0, length, offset);
    return bytesRead === length ? buffer : undefined;
  } finally {
    await handle.close();
  }
}
