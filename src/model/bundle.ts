import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, realpath, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { BundleError } from './bundle-errors.ts';
import { bundleFormatVersion, bundleManifestFile, bundleManifestSchema, type BundleManifest } from './bundle-manifest.ts';
import { FileRowTable, openRowTable, type RowTable } from './row-table.ts';

/** A router bundle whose every byte has been checked. */
export interface Bundle {
  /** Where it lies, symbolic links resolved. */
  readonly folder: string;
  /** sha256 (hex) of bundle.json: the bundle's name. */
  readonly digest: string;
  readonly manifest: BundleManifest;
}

/** One file of a bundle, as the manifest lists it. */
export type BundleFile = NonNullable<BundleManifest['ownEmbedding']>;

/** Where precisions are compared when a checkpoint has no threshold of its own: a router then needs one from its user. */
export const comparisonThreshold = 0.5;

const maxManifestBytes = 2 ** 20;
const hashChunkBytes = 4 * 2 ** 20;
const again = 'fetch or import the bundle again';

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}

/** Every file that the manifest lists. */
export function bundleFiles({ graphs, ownEmbedding }: BundleManifest): readonly BundleFile[] {
  const listed = Object.values(graphs).flatMap((graph) => (graph.data ? [graph.model, graph.data] : [graph.model]));
  return ownEmbedding ? [...listed, ownEmbedding] : listed;
}

/** Reads and checks a manifest's text. `path` is for messages. @throws BundleError */
export function parseManifest(text: string, path: string): BundleManifest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new BundleError('BUNDLE_INVALID', path, 'is not JSON', again, cause);
  }
  const version = typeof value === 'object' && value !== null && 'formatVersion' in value ? value.formatVersion : undefined;
  if (typeof version === 'number' && version !== bundleFormatVersion) {
    const problem = `formatVersion is ${version}, this version of r2r reads ${bundleFormatVersion}`;
    throw new BundleError('BUNDLE_UNSUPPORTED', path, problem, 'import the checkpoint again with this version');
  }
  const parsed = bundleManifestSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const problem = `${issue?.path.join('.') ?? 'the manifest'}: ${issue?.message ?? 'invalid'}`;
    throw new BundleError('BUNDLE_INVALID', path, problem, again, parsed.error);
  }
  const manifest = parsed.data;
  const refuse = (problem: string): never => {
    throw new BundleError('BUNDLE_INVALID', path, problem, again);
  };
  const names = [bundleManifestFile, ...bundleFiles(manifest).map(({ name }) => name)];
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) refuse(`graphs: ${twice} is listed for two things`);
  if (Object.keys(manifest.graphs).length === 0) refuse('graphs: there is neither fp32 nor int8');
  if ((manifest.network === null) !== (manifest.classes === 0)) refuse(`classes: ${manifest.classes} does not go with network`);
  return manifest;
}

/** Opens `folder/name` for reading, which must be a file itself: a link could lead anywhere. @throws BundleError */
async function openFile(folder: string, name: string): Promise<FileHandle> {
  const path = join(folder, name);
  let handle: FileHandle;
  try {
    // without O_NONBLOCK, opening a pipe would wait for ever
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    if (isMissing(cause)) throw new BundleError('BUNDLE_MISSING', path, 'no such file', again, cause);
    if (cause instanceof Error && 'code' in cause && cause.code === 'ELOOP')
      throw new BundleError('BUNDLE_INVALID', path, 'is a symbolic link', 'put the file itself there', cause);
    throw new BundleError('BUNDLE_INVALID', path, 'cannot be read', 'check its permissions', cause);
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw new BundleError('BUNDLE_INVALID', path, 'is no file', again);
}

/** @throws BundleError naming the file */
async function checkFile(folder: string, { name, sha256, bytes }: BundleFile, signal?: AbortSignal): Promise<void> {
  const path = join(folder, name);
  const handle = await openFile(folder, name);
  try {
    const { size } = await handle.stat();
    if (size !== bytes) throw new BundleError('BUNDLE_DIGEST_MISMATCH', path, `has ${size} bytes, the manifest says ${bytes}`, again);
    const found = await hashFile(handle, signal);
    if (found !== sha256)
      throw new BundleError('BUNDLE_DIGEST_MISMATCH', path, `its sha256 is ${found}, the manifest says ${sha256}`, again);
  } finally {
    await handle.close();
  }
}

async function hashFile(handle: FileHandle, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const chunk = Buffer.allocUnsafe(hashChunkBytes);
  for (let position = 0; ;) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, position);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(chunk.subarray(0, bytesRead));
    position += bytesRead;
  }
}

/**
 * Opens a bundle and checks the manifest and the size and sha256 of every file it lists. Files that it does not list are ignored.
 *
 * @throws BundleError; the signal's reason
 */
export async function openBundle(folder: string, signal?: AbortSignal): Promise<Bundle> {
  let resolved: string;
  try {
    resolved = await realpath(folder);
  } catch (cause) {
    throw new BundleError('BUNDLE_MISSING', folder, 'no such router bundle', 'make one with `r2r router import`', cause);
  }
  const handle = await openFile(resolved, bundleManifestFile);
  let text: Buffer;
  try {
    if ((await handle.stat()).size > maxManifestBytes)
      throw new BundleError('BUNDLE_INVALID', join(folder, bundleManifestFile), `is larger than ${maxManifestBytes} bytes`, again);
    text = await handle.readFile();
  } finally {
    await handle.close();
  }
  const manifest = parseManifest(text.toString('utf8'), join(folder, bundleManifestFile));
  for (const file of bundleFiles(manifest)) await checkFile(resolved, file, signal);
  return { folder: resolved, digest: createHash('sha256').update(text).digest('hex'), manifest };
}

/** The two matrices of an SLM that a bundle's rows come from. */
export interface SlmTables {
  readonly embedding: RowTable;
  readonly lmHead: RowTable;
}

/** Opens both tables of a model folder. @throws ModelError */
export async function openSlmTables(slmFolder: string): Promise<SlmTables & { close(): Promise<void> }> {
  const embedding = await openRowTable(slmFolder, 'embedding');
  try {
    const lmHead = await openRowTable(slmFolder, 'lm_head');
    return {
      embedding,
      lmHead,
      close: async () => {
        await Promise.all([embedding.close(), lmHead.close()]);
      },
    };
  } catch (error) {
    await embedding.close();
    throw error;
  }
}

/** sha256 of both tables; a tied LM head is not read again. */
export async function slmDigests(
  tables: SlmTables,
  signal?: AbortSignal,
): Promise<{ readonly embedding: string; readonly lmHead: string }> {
  const embedding = await tables.embedding.digest(signal);
  const lmHead = tables.lmHead.tensor === tables.embedding.tensor ? embedding : await tables.lmHead.digest(signal);
  return { embedding, lmHead };
}

/**
 * Checks that the bundle was made for this SLM: shapes first, then the digests of its input embedding and LM head.
 *
 * @throws BundleError `BUNDLE_SLM_MISMATCH` naming the field; ModelError when the SLM's folder cannot be read
 */
export async function checkBundleFits(bundle: Bundle, slmFolder: string, signal?: AbortSignal): Promise<void> {
  const tables = await openSlmTables(slmFolder);
  try {
    await checkBundleFitsTables(bundle, tables, slmFolder, signal);
  } finally {
    await tables.close();
  }
}

/** As `checkBundleFits`, of tables that are open already. */
export async function checkBundleFitsTables(bundle: Bundle, tables: SlmTables, slmFolder: string, signal?: AbortSignal): Promise<void> {
  const { hiddenSize, embeddingSize, slm, ownEmbedding } = bundle.manifest;
  const same = (field: string, bundled: number | string, found: number | string): void => {
    if (bundled === found) return;
    const problem = `${field} is ${bundled}, of the SLM in ${slmFolder} it is ${found}`;
    const fix = `give the SLM that the bundle was made for (${slm.name}), or import the checkpoint for this one`;
    throw new BundleError('BUNDLE_SLM_MISMATCH', join(bundle.folder, bundleManifestFile), problem, fix);
  };
  same('hiddenSize', hiddenSize, tables.lmHead.width);
  same('slm.vocabSize', slm.vocabSize, tables.embedding.rows);
  if (!ownEmbedding) same('embeddingSize', embeddingSize, tables.embedding.width);
  const digests = await slmDigests(tables, signal);
  same('slm.embeddingDigest', slm.embeddingDigest, digests.embedding);
  same('slm.lmHeadDigest', slm.lmHeadDigest, digests.lmHead);
}

/** The table that the network's `embedding` input comes from: the bundle's own where it has one, else the SLM's. Throws as `openRowTable`. */
export async function openBundleEmbedding({ folder, manifest }: Bundle, slmFolder: string): Promise<RowTable> {
  const { ownEmbedding, slm, embeddingSize } = manifest;
  if (!ownEmbedding) return openRowTable(slmFolder, 'embedding');
  const file = join(folder, ownEmbedding.name);
  const rows = slm.vocabSize;
  if (ownEmbedding.bytes !== rows * embeddingSize * 4) {
    const problem = `has ${ownEmbedding.bytes} bytes, ${rows} rows of ${embeddingSize} are ${rows * embeddingSize * 4}`;
    throw new BundleError('BUNDLE_INVALID', file, problem, again);
  }
  return FileRowTable.open({ name: ownEmbedding.name, type: 'F32', file, offset: 0, rows, width: embeddingSize });
}
