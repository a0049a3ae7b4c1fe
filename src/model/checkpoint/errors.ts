/**
 * Why a checkpoint is refused.
 * - `CHECKPOINT_UNREADABLE`: there is no such file, it cannot be read, is no regular file, or was closed
 * - `CHECKPOINT_FORMAT`: not the zip format of torch >= 1.6 in little-endian order
 * - `CHECKPOINT_DAMAGED`: cut short, or bytes that contradict their checksum
 * - `CHECKPOINT_ARCHIVE`: a zip archive that torch does not write (paths, duplicates, overlaps, compression, headers that disagree)
 * - `CHECKPOINT_FORBIDDEN`: the pickle asks for something that is not on the fixed list (opcode, global, call, persistent id)
 * - `CHECKPOINT_PICKLE`: the pickle breaks the rules of its own format
 * - `CHECKPOINT_TENSOR`: a tensor or storage contradicts itself or its data
 * - `CHECKPOINT_LAYOUT`: sound, but not the dict that upstream's `save_model` writes
 * - `CHECKPOINT_LIMIT`: larger or deeper than the limits
 * - `CHECKPOINT_CHANGED`: the file was written to while it was in use
 */
export type CheckpointErrorCode =
  | 'CHECKPOINT_UNREADABLE'
  | 'CHECKPOINT_FORMAT'
  | 'CHECKPOINT_DAMAGED'
  | 'CHECKPOINT_ARCHIVE'
  | 'CHECKPOINT_FORBIDDEN'
  | 'CHECKPOINT_PICKLE'
  | 'CHECKPOINT_TENSOR'
  | 'CHECKPOINT_LAYOUT'
  | 'CHECKPOINT_LIMIT'
  | 'CHECKPOINT_CHANGED';

const resave = 'load it where its origin is trusted and save it again with torch.save';
const fixes: Readonly<Record<CheckpointErrorCode, string>> = {
  CHECKPOINT_UNREADABLE: 'check the path and its permissions',
  CHECKPOINT_FORMAT: resave,
  CHECKPOINT_DAMAGED: 'download or copy it again; torch must not have saved it with set_crc32_options(False)',
  CHECKPOINT_ARCHIVE: `do not trust this file: torch writes no such archive; ${resave} if it is yours`,
  CHECKPOINT_FORBIDDEN: 'do not trust this file; if it is yours, save only tensors, numbers, strings, lists and dicts',
  CHECKPOINT_PICKLE: `do not trust this file: torch writes no such pickle; ${resave} if it is yours`,
  CHECKPOINT_TENSOR: resave,
  CHECKPOINT_LAYOUT: "save the router with upstream's save_model",
  CHECKPOINT_LIMIT: 'save a smaller checkpoint, or raise the limit if its origin is trusted',
  CHECKPOINT_CHANGED: 'import a copy that nothing writes to',
};

/** A checkpoint that is refused. The message names the file, the thing in it (opcode and byte, global, entry, tensor, key) and what to do. */
export class CheckpointError extends Error {
  readonly code: CheckpointErrorCode;
  readonly path: string;

  constructor(code: CheckpointErrorCode, path: string, problem: string, options: { readonly fix?: string; readonly cause?: unknown } = {}) {
    super(`${path}: ${problem}; ${options.fix ?? fixes[code]}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CheckpointError';
    this.code = code;
    this.path = path;
  }
}

/** Text of an untrusted file, cut short and escaped, for a message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
