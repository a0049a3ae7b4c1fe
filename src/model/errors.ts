/**
 * What can be wrong with a model folder.
 * - `MODEL_FOLDER_MISSING`: there is no such folder
 * - `MODEL_FILE_MISSING`: the folder lacks a file that is needed
 * - `MODEL_FILE_INVALID`: a file is there, but broken
 * - `MODEL_UNSUPPORTED`: the model is sound, but of a kind that is not implemented
 */
export type ModelErrorCode = 'MODEL_FOLDER_MISSING' | 'MODEL_FILE_MISSING' | 'MODEL_FILE_INVALID' | 'MODEL_UNSUPPORTED';

/** A model folder that cannot be used. The message names the path, what is wrong and what to do about it. */
export class ModelError extends Error {
  readonly code: ModelErrorCode;
  /** The folder or file at fault. */
  readonly path: string;

  constructor(code: ModelErrorCode, path: string, problem: string, fix: string, cause?: unknown) {
    super(`${path}: ${problem}; ${fix}`, cause === undefined ? undefined : { cause });
    this.name = 'ModelError';
    this.code = code;
    this.path = path;
  }
}
