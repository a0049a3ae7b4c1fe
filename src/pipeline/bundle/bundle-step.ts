import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { JobName } from '../../api/r2rrouter-jobs.ts';
import { bundleFormat, stepFolderName, stepHash, type StepSpec } from '../../api/step-identity.ts';
import { openBundle, type Bundle } from '../../model/bundle.ts';
import type { FetchedArtifact } from '../../model/fetch/fetched-artifact.ts';
import { importCheckpoint } from '../../model/import-bundle.ts';
import type { BundleStore } from '../../model/store/index.ts';
import { PipelineError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Progress } from '../progress.ts';
import { cleanWorkspace, type CleaningPolicy } from '../workspace/clean.ts';
import { diskFileSystem, type FileSystem } from '../workspace/file-system.ts';
import { markOwner, type StepOwner } from '../workspace/owners.ts';
import { failingAs } from './failures.ts';
import { pruneBundles } from './keeping.ts';
import { currentBundle } from './current-bundle.ts';
import { measureBundle, type Measured } from './measured-bundle.ts';
import { bundleFolder, openBundleFolder, readRecord, writeRecord, type BundleRecord } from './record.ts';
import { scratchFolder } from './scratch.ts';
import { calibrationRows, testRowsOf } from './step-rows.ts';
import type { TestRows } from './test-rows.ts';
import { readTrained } from './trained.ts';

/** What a run of the bundling step is given, besides what it is known by. */
export interface BundleContext {
  readonly workspace: string;
  /** The SLM's Hugging Face folder. */
  readonly slmFolder: string;
  /** The label set's folder; undefined: nothing is measured. */
  readonly labels: string | undefined;
  /** The bundle in use, and the recall at which it is measured; `isNeeded`: without it the step fails. */
  readonly compare: { readonly uri: string; readonly minRecall: number; readonly isNeeded: boolean } | undefined;
  readonly store: BundleStore;
  /** Digests of bundles to keep; undefined: none is deleted. */
  readonly retain: readonly string[] | undefined;
  /** The router that the bundle is made for; undefined: no folder is marked as its. */
  readonly owner: StepOwner | undefined;
  /** Which earlier results of that router stay in the workspace; undefined: all of them. */
  readonly clean: Pick<CleaningPolicy, 'keep' | 'current'> | undefined;
  /** Makes a file or folder of this machine of an address. */
  readonly fetch: (uri: string, signal: AbortSignal) => Promise<FetchedArtifact>;
  /** For downloads, and for what is not needed any more when the step is done. */
  readonly cacheFolder: string;
  readonly log: Log;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  readonly fileSystem?: FileSystem;
}

/** A checkpoint that lies on this machine. */
interface Checkpoint {
  readonly path: string;
  /** For the bundle's manifest. */
  readonly source: string;
}

const paramsSchema = z.looseObject({ checkpoint: z.object({ uri: z.string() }).optional() });

/**
 * Makes a bundle of a checkpoint, measures it on the test rows, and stores it. Whatever ends the process, at any instant, the next run gives the same
 * bundle and the same record, which is written last; a run that finds it does nothing more.
 *
 * @throws PipelineError naming the step; the signal's reason
 */
export async function runBundle(spec: StepSpec<JobName>, context: BundleContext): Promise<BundleRecord> {
  try {
    await markFolders(spec, context);
    const record = await run(spec, context);
    await cleanUp(context);
    return record;
  } catch (error) {
    if (context.signal.aborted && !(error instanceof PipelineError)) {
      const options = { step: 'bundle', shard: 0, cause: error };
      throw new PipelineError('PIPELINE_STOPPED', 'it was told to stop', 'run it again', options);
    }
    throw error instanceof PipelineError ? error.at('bundle', 0) : error;
  }
}

async function run(spec: StepSpec<JobName>, context: BundleContext): Promise<BundleRecord> {
  const { workspace, log, progress, signal, store, fileSystem = diskFileSystem } = context;
  const hash = stepHash(spec);
  assertSpec(spec);
  const folder = await openBundleFolder(fileSystem, workspace, spec);
  const finished = await readRecord(fileSystem, folder);
  if (finished && (await isStored(finished, context))) {
    log.info({ step: 'bundle', hash, digest: finished.digest }, 'step was done');
    return finished;
  }
  const { train } = spec.inputs;
  const trained = train && (await readTrained(workspace, train.hash));
  const checkpoint = trained ? { path: trained.checkpoint, source: `train-${train.hash}` } : await publishedCheckpoint(spec, context);
  const rows = await testRowsOf(spec, trained, context);
  progress.start({
    ...{ step: 'bundle', hash, shard: { index: 0, count: 1 }, unit: 'rows', partsTotal: 0, concurrency: 1 },
    total: rows?.count ?? 0,
  });
  const current = rows && (await currentBundle(context));
  const scratch = await scratchFolder(context.cacheFolder);
  try {
    const make = (name: string, threshold?: number) => makeBundle(checkpoint, join(scratch, name), rows, context, threshold);
    let bundle = await make('bundle');
    let measured: Measured = rows ? await measureBundle(bundle, rows, { trained, current, ...context }) : { figures: {} };
    if (measured.threshold !== undefined) {
      const from = bundle.manifest.threshold;
      log.info({ from, to: measured.threshold }, 'threshold lowered, so that int8 reaches the recall that was trained for');
      bundle = await make('lowered', measured.threshold);
    }
    if (!rows && trained) measured = { figures: { trainer: { threshold: trained.result.threshold, ...trained.result.test } } };
    const { digest, address } = await failingAs('PIPELINE_STORE', { field: '--store' }, () => store.put(bundle.folder, signal));
    if (context.retain) await pruneBundles(store, new Set([...context.retain, digest]), log, signal);
    const record: BundleRecord = {
      formatVersion: 1,
      hash,
      digest,
      uri: address,
      ...(bundle.manifest.threshold !== null && { threshold: bundle.manifest.threshold }),
      ...(rows ? { rows: rows.count } : trained && { rows: trained.result.test.rows }),
      measured: measured.figures,
      ...(measured.accuracy && { accuracy: measured.accuracy }),
      ...(measured.current && { current: measured.current }),
    };
    await writeRecord(fileSystem, folder, record);
    log.info({ step: 'bundle', hash, digest, uri: address, ...measured.figures }, 'bundle stored');
    return record;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Says whose the folders are that are read and written here; the trainer does not do that of its own. */
async function markFolders(spec: StepSpec<JobName>, { workspace, owner, fileSystem = diskFileSystem }: BundleContext): Promise<void> {
  if (!owner) return;
  for (const [step, input] of Object.entries(spec.inputs)) {
    await markOwner(fileSystem, join(workspace, stepFolderName(step, input.hash)), owner, false);
  }
  await markOwner(fileSystem, bundleFolder(workspace, spec), owner, true);
}

/** Earlier results go last: what fails here is done by the next bundle, and this one is made. */
async function cleanUp({ workspace, owner, clean, log, signal, fileSystem = diskFileSystem }: BundleContext): Promise<void> {
  if (!owner || !clean) return;
  try {
    await cleanWorkspace(workspace, { owner, ...clean }, { log, signal, fileSystem });
  } catch (err) {
    if (signal.aborted) throw err;
    log.warn({ err }, 'earlier results cannot be removed now');
  }
}

function assertSpec({ step, format, params, inputs }: StepSpec<JobName>): void {
  if (step !== 'bundle' || format !== bundleFormat) {
    const problem = `${step} of format ${format} is asked for, and this version makes bundle of format ${bundleFormat}`;
    throw new PipelineError('PIPELINE_SPEC', problem, 'let the version of the operator and of its images be the same');
  }
  if ((inputs.train === undefined) === (paramsSchema.parse(params).checkpoint === undefined))
    throw new PipelineError('PIPELINE_SPEC', 'it names no training step and no checkpoint, or both', 'give one of them', {
      field: 'inputs.train',
    });
}

/** A record is worth something while its bundle is where routers are sent to. */
async function isStored({ digest, uri }: BundleRecord, { store, signal }: BundleContext): Promise<boolean> {
  if (uri !== store.address(digest)) return false;
  return failingAs('PIPELINE_STORE', { field: '--store' }, async () => (await store.find(digest, signal)) !== undefined);
}

async function publishedCheckpoint({ params }: StepSpec<JobName>, { fetch, signal }: BundleContext): Promise<Checkpoint> {
  const uri = paramsSchema.parse(params).checkpoint?.uri ?? '';
  const field = 'source.checkpoint.uri';
  const { path, source, kind } = await failingAs('PIPELINE_CHECKPOINT', { field }, () => fetch(uri, signal));
  if (kind === 'folder') throw new PipelineError('PIPELINE_CHECKPOINT', `${uri} is a folder`, 'name the .pt file in it', { field });
  // a branch may have moved without the file: that gives no other bundle
  return { path, source: uri.startsWith('hf://') ? uri : source };
}

async function makeBundle(
  { path, source }: Checkpoint,
  outFolder: string,
  rows: TestRows | undefined,
  { slmFolder, signal, log }: BundleContext,
  threshold?: number,
): Promise<Bundle> {
  return failingAs('PIPELINE_CHECKPOINT', {}, async () => {
    await importCheckpoint(
      {
        checkpointPath: path,
        slmFolder,
        outFolder,
        precisions: ['fp32', 'int8'],
        source,
        ...(threshold !== undefined && { threshold }),
        ...(rows && { calibration: (logprobs) => calibrationRows(rows, logprobs, slmFolder) }),
        progress: (step) => log.info({ ...step, import: step.step }, 'importing the checkpoint'),
      },
      signal,
    );
    return openBundle(outFolder, signal);
  });
}
