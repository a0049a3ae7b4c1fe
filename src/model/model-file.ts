import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ModelError } from './errors.ts';

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}

/** Throws `MODEL_FOLDER_MISSING` unless `folder` is a directory. */
export async function assertModelFolder(folder: string): Promise<void> {
  const fix = 'set the model path to a Hugging Face model folder (config.json, tokenizer.json, *.safetensors)';
  let isDirectory: boolean;
  try {
    isDirectory = (await stat(folder)).isDirectory();
  } catch (cause) {
    throw new ModelError(
      'MODEL_FOLDER_MISSING',
      folder,
      isMissing(cause) ? 'no such model folder' : 'the model folder cannot be read',
      fix,
      cause,
    );
  }
  if (!isDirectory) throw new ModelError('MODEL_FOLDER_MISSING', folder, 'not a folder', fix);
}

/** The text of `folder/name`, or undefined when there is no such file. */
export async function readOptionalText(folder: string, name: string): Promise<string | undefined> {
  try {
    return await readFile(join(folder, name), 'utf8');
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    throw new ModelError('MODEL_FILE_INVALID', join(folder, name), 'cannot be read', 'check its permissions', cause);
  }
}

/** `folder/name` parsed and checked against `schema`; undefined when there is no such file. Throws `MODEL_FILE_INVALID` naming the field. */
export async function readOptionalJson<T>(folder: string, name: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await readOptionalText(folder, name);
  if (text === undefined) return undefined;
  const path = join(folder, name);
  const fix = 'download the model again or correct the file';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ModelError('MODEL_FILE_INVALID', path, 'is not JSON', fix, cause);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new ModelError('MODEL_FILE_INVALID', path, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`, fix, parsed.error);
}

/** As `readOptionalJson`, but a missing file is a `MODEL_FILE_MISSING` error. */
export async function readJson<T>(folder: string, name: string, schema: z.ZodType<T>): Promise<T> {
  const value = await readOptionalJson(folder, name, schema);
  if (value !== undefined) return value;
  await assertModelFolder(folder);
  throw new ModelError('MODEL_FILE_MISSING', join(folder, name), 'no such file', 'a model folder needs it; download the model again');
}
