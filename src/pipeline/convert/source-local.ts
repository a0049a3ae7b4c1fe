import { readFile, readdir, realpath, stat } from 'node:fs/promises';
import { basename, isAbsolute, join, sep } from 'node:path';
import { PipelineError } from '../errors.ts';
import type { DatasetEntry } from '../params.ts';
import type { SourceAccess } from '../step.ts';
import { kindOfFile } from './file-format.ts';
import type { RowSource } from './source.ts';
import { filesOfSplit } from './split-files.ts';

/** Of the program: relative paths begin here. */
const programFolder = join(import.meta.dirname, '../../..');
const maxFiles = 100_000;

/** A file or folder of this machine, or of a claim that is mounted. @throws PipelineError `PIPELINE_SOURCE` */
export async function openLocalSource(entry: DatasetEntry, access: SourceAccess): Promise<RowSource> {
  const { name, split, format } = entry;
  const { path, mount, fix } = placeOf(entry, access);
  const refuse = (problem: string, way: string, cause?: unknown): PipelineError =>
    new PipelineError('PIPELINE_SOURCE', `data set ${name}, split ${split}: ${problem}`, way, { file: entry.path, field: 'path', cause });
  try {
    const found = await stat(path);
    if (mount !== undefined) await assertWithin(path, mount, refuse);
    if (!found.isDirectory()) {
      const kind = kindOfFile(path, format);
      if (!kind) throw refuse(`${entry.path} does not say what it is`, 'set format to parquet, jsonl or csv');
      return { address: entry.path, files: [{ ...kind, path: basename(path), fetch: () => Promise.resolve(path) }] };
    }
    const paths = await filesBelow(path);
    if (paths.includes('state.json') || paths.includes('dataset_dict.json'))
      throw refuse(`${entry.path} was written by save_to_disk (Arrow files)`, 'write it with to_parquet, or to_json with lines');
    const card = paths.includes('README.md') ? await readFile(join(path, 'README.md'), 'utf8') : undefined;
    const fetch = (file: string) => async () => {
      const whole = join(path, file);
      if (mount !== undefined) await assertWithin(whole, mount, refuse);
      return whole;
    };
    return { address: entry.path, files: filesOfSplit(paths, card, entry).map((file) => ({ ...file, fetch: fetch(file.path) })) };
  } catch (cause) {
    if (cause instanceof PipelineError) throw cause;
    throw refuse(`${path} cannot be read (${cause instanceof Error ? cause.message : String(cause)})`, fix, cause);
  }
}

interface Place {
  readonly path: string;
  /** Of a claim: nothing outside is read. */
  readonly mount: string | undefined;
  readonly fix: string;
}

function placeOf({ name, path }: DatasetEntry, { claims = {} }: SourceAccess): Place {
  const refuse = (problem: string, fix: string): PipelineError =>
    new PipelineError('PIPELINE_SOURCE', `data set ${name}: ${problem}`, fix, { field: 'path' });
  if (path.split('/').includes('..')) throw refuse(`${path} has ".." in it`, 'write the full path');
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(path)?.[1];
  if (scheme === undefined) {
    const fix = 'correct the path';
    return isAbsolute(path) ? { path, mount: undefined, fix } : { path: join(programFolder, path), mount: undefined, fix };
  }
  const [, claim, below] = /^pvc:\/\/([a-z0-9][-a-z0-9.]*)(\/[^\0]+)$/.exec(path) ?? [];
  if (claim === undefined || below === undefined)
    throw refuse(`nothing is read from ${path}`, 'write hf://datasets/<org>/<repo>, pvc://<claim>/<path>, or a path');
  const mount = Object.hasOwn(claims, claim) ? claims[claim] : undefined;
  if (mount === undefined)
    throw refuse(
      `the claim ${claim} is not mounted; those that are: ${Object.keys(claims).join(', ') || 'none'}`,
      'mount it, or correct the path',
    );
  return { path: join(mount, below), mount, fix: `check that the claim ${claim} holds it` };
}

async function assertWithin(path: string, mount: string, refuse: (problem: string, fix: string) => PipelineError): Promise<void> {
  const [real, root] = await Promise.all([realpath(path), realpath(mount)]);
  if (real !== root && !real.startsWith(root + sep))
    throw refuse(`${path} is a link that leads out of the claim`, 'put the file itself on the claim');
}

/** Relative paths of all files, sorted; links to folders are not followed. */
async function filesBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() || entry.isSymbolicLink())
    .slice(0, maxFiles)
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.replace(/\/+$/, '').length + 1))
    .filter((path) => !path.split('/').some((part) => part.startsWith('.')))
    .sort();
}
