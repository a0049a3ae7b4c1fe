import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { claimFolder, claimOf } from '../api/claim.ts';
import { defaultTuning, type Shard, type SourceAccess, type Tuning } from '../pipeline/step.ts';
import { diskFileSystem } from '../pipeline/workspace/file-system.ts';
import { parseOwner, type StepOwner } from '../pipeline/workspace/owners.ts';
import { Workspace } from '../pipeline/workspace/workspace.ts';
import { UsageError } from './command.ts';
import { hubOptions, hubSettings } from './hub-settings.ts';

/** Flags of the commands that run steps. */
export const runFlags = {
  workspace: { type: 'string' },
  owner: { type: 'string' },
  engine: { type: 'string', multiple: true },
  model: { type: 'string', multiple: true },
  concurrency: { type: 'string', default: String(defaultTuning.concurrency) },
  'request-timeout-seconds': { type: 'string', default: String(defaultTuning.requestTimeoutMs / 1000) },
  'max-retries': { type: 'string', default: String(defaultTuning.maxRetries) },
  cache: { type: 'string', default: join(tmpdir(), 'r2r-datasets') },
  claim: { type: 'string', multiple: true },
  'hf-endpoint': { type: 'string' },
  'hf-token-file': { type: 'string' },
  'termination-log': { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

export const runFlagsUsage = `  --owner NAMESPACE/NAME     marks the steps' folders as used by this R2RRouter [no mark, and so never cleaned up]
  --engine ROLE=URL          a model server (SGLang or the CPU engine); ROLE is slm, llm or verifier
  --model ROLE=FOLDER        the Hugging Face folder of the model that it serves: tokenizer, template, config.json
  --concurrency N            calls to it at a time                              [${defaultTuning.concurrency}]
  --request-timeout-seconds N, --max-retries N
                             of one call                                        [${defaultTuning.requestTimeoutMs / 1000}, ${defaultTuning.maxRetries}]
  --cache DIR                where downloads of data sets are kept              [r2r-datasets in the folder for temporary files]
  --claim NAME=FOLDER        where the claim of pvc://NAME/… is                 [/models/NAME]
  --hf-endpoint URL          the Hugging Face hub for hf:// data sets           [$HF_ENDPOINT, else the public one]
  --hf-token-file FILE       the token for it                                   [$HF_TOKEN]
  --termination-log FILE     what came of it as one JSON object, for the operator`;

export interface RunFlags {
  readonly concurrency: string;
  readonly 'request-timeout-seconds': string;
  readonly 'max-retries': string;
  readonly cache: string;
  readonly claim?: readonly string[] | undefined;
  readonly 'hf-endpoint'?: string | undefined;
  readonly 'hf-token-file'?: string | undefined;
}

/** @throws UsageError */
export function required(flag: string, value: string | undefined): string {
  if (value === undefined || value === '') throw new UsageError(`--${flag} is missing`);
  return value;
}

/** @throws UsageError */
export function ownerOf(text: string): StepOwner {
  const owner = parseOwner(text);
  if (!owner) throw new UsageError(`--owner must be NAMESPACE/NAME of an R2RRouter, got "${text}"`);
  return owner;
}

/** Hashes of steps, given by `--current`. @throws UsageError */
export function stepHashes(current: readonly string[] = []): readonly string[] {
  for (const hash of current)
    if (!/^[0-9a-f]{16}$/.test(hash)) throw new UsageError(`--current must be a step's hash, 16 hexadecimal digits, got "${hash}"`);
  return current;
}

/** The folder with the steps, which are marked as those of `--owner` where it is given. @throws UsageError */
export function workspaceOf({ workspace, owner }: Readonly<Partial<Record<'workspace' | 'owner', string>>>): Workspace {
  const folder = resolve(required('workspace', workspace));
  return new Workspace(folder, diskFileSystem, owner === undefined ? undefined : ownerOf(owner));
}

/** @throws UsageError */
export function wholeNumber(flag: string, text: string, least = 0): number {
  if (!/^\d+$/.test(text) || Number(text) < least)
    throw new UsageError(`--${flag} must be a whole number of at least ${least}, got "${text}"`);
  return Number(text);
}

/** @throws UsageError */
export function tuningOf(values: RunFlags): Tuning {
  return {
    ...defaultTuning,
    concurrency: wholeNumber('concurrency', values.concurrency, 1),
    requestTimeoutMs: 1000 * wholeNumber('request-timeout-seconds', values['request-timeout-seconds'], 1),
    maxRetries: wholeNumber('max-retries', values['max-retries']),
  };
}

/** `--shard-index`, else the index that Kubernetes gives a Job's pod. @throws UsageError */
export function shardOf(index: string | undefined, shards: string, environment: NodeJS.ProcessEnv): Shard {
  const count = wholeNumber('shards', shards, 1);
  const completion = environment['JOB_COMPLETION_INDEX'];
  const chosen = wholeNumber('shard-index', index ?? (completion === undefined || completion === '' ? '0' : completion));
  if (chosen >= count) throw new UsageError(`--shard-index ${chosen} is not below --shards ${count}`);
  return { index: chosen, count };
}

const pathsSchema = z.object({ datasets: z.array(z.union([z.string(), z.looseObject({ path: z.string() })])) });

/** Where the data sets of these parameters come from. @throws UsageError; FetchError while a token is not there */
export async function sourceAccess(values: RunFlags, convertParams: unknown, environment: NodeJS.ProcessEnv): Promise<SourceAccess> {
  const claims: Record<string, string> = {};
  const { data } = pathsSchema.safeParse(convertParams);
  for (const each of data?.datasets ?? []) {
    const claim = typeof each === 'string' ? undefined : claimOf(each.path);
    if (claim !== undefined) claims[claim] = claimFolder(claim);
  }
  for (const text of values.claim ?? []) {
    const [, name, folder] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
    if (name === undefined || folder === undefined) throw new UsageError(`--claim must be NAME=FOLDER, got "${text}"`);
    claims[name] = resolve(folder);
  }
  const hub = await hubOptions(hubSettings(values, environment), 'hf://datasets');
  return { hubEndpoint: hub.endpoint, hubToken: hub.token, cacheFolder: resolve(values.cache), claims };
}

/** @throws UsageError */
export async function readFlagFile<T>(flag: string, path: string, parse: (text: string) => T): Promise<T> {
  try {
    return parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (error instanceof z.ZodError) throw new UsageError(`--${flag} ${path}: ${z.prettifyError(error).replaceAll('\n', ' ')}`);
    throw new UsageError(`--${flag} ${path} cannot be read: ${error instanceof Error ? error.message.split('\n', 1)[0] : String(error)}`);
  }
}
