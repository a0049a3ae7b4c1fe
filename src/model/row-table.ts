import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { ModelError } from './errors.ts';
import { float16ToFloat32 } from './number-formats.ts';
import { openWeights, type TensorEntry, type TensorType } from './safetensors.ts';
import { loadSlmConfig } from './slm-config.ts';

/**
 * Why rows could not be had.
 * - `ROW_OUT_OF_RANGE`: an id that is no row of the table
 * - `ROW_UNREADABLE`: the file was cut, replaced or closed under us
 */
export type RowTableErrorCode = 'ROW_OUT_OF_RANGE' | 'ROW_UNREADABLE';

export class RowTableError extends Error {
  override readonly name = 'RowTableError';
  readonly code: RowTableErrorCode;

  constructor(code: RowTableErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A matrix in a file, of which single rows are read. */
export interface RowTable {
  /** Name of the tensor; two tables of one folder with the same name are the same. */
  readonly tensor: string;
  readonly rows: number;
  readonly width: number;
  /** Element type as stored. */
  readonly type: TensorType;
  /**
   * Writes row `ids[i]` as float32 to `out` from `i * width` on. Synchronous: one read of the page cache a row (the operating system keeps what
   * is hot), made for a worker thread. @throws RowTableError; RangeError when `out` is too short
   */
  gather(ids: ArrayLike<number>, out: Float32Array): void;
  /** sha256 (hex) of the table's bytes as stored; computed once. */
  digest(signal?: AbortSignal): Promise<string>;
  close(): Promise<void>;
}

/** A matrix's place in a file, row-major. */
export type MatrixPlace = Pick<TensorEntry, 'name' | 'type' | 'file' | 'offset'> & { readonly rows: number; readonly width: number };

export const bytesPerElement: Readonly<Record<TensorType, number>> = { F32: 4, F16: 2, BF16: 2 };
const digestChunkBytes = 4 * 2 ** 20;

/** All 65,536 values of float16, made when the first is needed: a look-up costs a fraction of the arithmetic. */
let halves: Float32Array | undefined;

export class FileRowTable implements RowTable {
  readonly tensor: string;
  readonly rows: number;
  readonly width: number;
  readonly type: TensorType;
  readonly #handle: FileHandle;
  readonly #place: MatrixPlace;
  readonly #row: Uint16Array;
  readonly #rowBytes: number;
  #digest: Promise<string> | undefined;

  private constructor(place: MatrixPlace, handle: FileHandle) {
    this.tensor = place.name;
    this.rows = place.rows;
    this.width = place.width;
    this.type = place.type;
    this.#place = place;
    this.#handle = handle;
    this.#rowBytes = place.width * bytesPerElement[place.type];
    this.#row = new Uint16Array(place.width);
  }

  /** @throws the system's error when the file cannot be opened */
  static async open(place: MatrixPlace): Promise<FileRowTable> {
    return new FileRowTable(place, await open(place.file, 'r'));
  }

  gather(ids: ArrayLike<number>, out: Float32Array): void {
    const { width, type } = this;
    if (out.length < ids.length * width) throw new RangeError(`${ids.length} rows of ${width} do not fit into ${out.length} numbers`);
    const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
    for (let index = 0; index < ids.length; index++) {
      const id = ids[index] ?? -1;
      if (!Number.isInteger(id) || id < 0 || id >= this.rows)
        throw new RowTableError('ROW_OUT_OF_RANGE', `${this.#place.file}: ${this.tensor} has ${this.rows} rows, asked was row ${id}`);
      const start = index * width;
      if (type === 'F32') {
        this.#readRow(id, new Uint8Array(out.buffer, out.byteOffset + start * 4, this.#rowBytes));
        continue;
      }
      this.#readRow(id, this.#row);
      if (type === 'BF16') for (let column = 0; column < width; column++) bits[start + column] = (this.#row[column] ?? 0) << 16;
      else {
        halves ??= float16ToFloat32(Uint16Array.from({ length: 65_536 }, (_, pattern) => pattern));
        for (let column = 0; column < width; column++) out[start + column] = halves[this.#row[column] ?? 0] ?? 0;
      }
    }
  }

  #readRow(id: number, into: Uint8Array | Uint16Array): void {
    let read: number;
    try {
      read = readSync(this.#handle.fd, into, 0, this.#rowBytes, this.#place.offset + id * this.#rowBytes);
    } catch (cause) {
      throw new RowTableError('ROW_UNREADABLE', `${this.#place.file}: row ${id} of ${this.tensor} cannot be read`, { cause });
    }
    if (read !== this.#rowBytes)
      throw new RowTableError('ROW_UNREADABLE', `${this.#place.file}: the file ends in row ${id} of ${this.tensor}; put it back whole`);
  }

  digest(signal?: AbortSignal): Promise<string> {
    this.#digest ??= this.#hash(signal).catch((error: unknown) => {
      this.#digest = undefined;
      throw error;
    });
    return this.#digest;
  }

  async #hash(signal?: AbortSignal): Promise<string> {
    const hash = createHash('sha256');
    const total = this.rows * this.#rowBytes;
    const chunk = Buffer.allocUnsafe(Math.min(digestChunkBytes, total));
    for (let done = 0; done < total;) {
      signal?.throwIfAborted();
      const { bytesRead } = await this.#handle.read(chunk, 0, Math.min(chunk.length, total - done), this.#place.offset + done);
      if (bytesRead === 0)
        throw new RowTableError('ROW_UNREADABLE', `${this.#place.file}: the file ends in ${this.tensor}; put it back whole`);
      hash.update(chunk.subarray(0, bytesRead));
      done += bytesRead;
    }
    return hash.digest('hex');
  }

  /** Rows cannot be had any more; a digest under way fails. */
  close(): Promise<void> {
    return this.#handle.close();
  }
}

/**
 * The input embedding or the LM head of a Hugging Face folder, in one file or sharded. The LM head of a model with tied embeddings is its input
 * embedding. @throws ModelError naming the folder, the tensor and the fix
 */
export async function openRowTable(slmFolder: string, which: 'embedding' | 'lm_head'): Promise<RowTable> {
  const [config, { tensors }] = await Promise.all([loadSlmConfig(slmFolder), openWeights(slmFolder)]);
  const tied = config.tiedEmbeddings ?? !tensors.has('lm_head.weight');
  const name = which === 'embedding' || tied ? 'model.embed_tokens.weight' : 'lm_head.weight';
  const entry = tensors.get(name);
  if (!entry) {
    const problem = `the model has no tensor ${name}${which === 'lm_head' ? ', and config.json says that tie_word_embeddings is false' : ''}`;
    throw new ModelError('MODEL_FILE_MISSING', slmFolder, problem, 'use a Qwen2, Qwen3 or Llama model with all its weights');
  }
  const [rows = 0, width = 0] = entry.shape;
  if (entry.shape.length !== 2 || rows !== config.vocabSize || width !== config.hiddenSize) {
    const problem = `tensor ${name} has shape [${entry.shape.join(', ')}], config.json says [${config.vocabSize}, ${config.hiddenSize}]`;
    throw new ModelError('MODEL_FILE_INVALID', slmFolder, problem, 'download the model again');
  }
  return FileRowTable.open({ ...entry, rows, width });
}
