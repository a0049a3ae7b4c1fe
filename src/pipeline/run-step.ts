import { isDeepStrictEqual } from 'node:util';
import { StepAcceptance } from './acceptance.ts';
import { EngineCalls } from './engine-calls.ts';
import { PipelineError } from './errors.ts';
import { openInputs } from './step-reader.ts';
import type { JsonObject, StepSpec } from './step-identity.ts';
import type { Counts, PartPlan, StepContext, StepDefinition, StepWork } from './step.ts';
import type { StepManifest } from './workspace/manifest.ts';
import type { StepFolder } from './workspace/step-folder.ts';

/** How a run ended: the step is done, or other shards have parts left. */
export type StepOutcome =
  | { readonly sealed: true; readonly manifest: StepManifest; /** It was done before this run. */ readonly found: boolean }
  | { readonly sealed: false; readonly hash: string; readonly missingParts: number };

/** The identity of a step with these parameters; what they leave out has its default. @throws PipelineError `PIPELINE_PARAMS` */
export function makeSpec<P>(definition: StepDefinition<P>, params: unknown, inputs: StepSpec['inputs']): StepSpec {
  const parsed = JSON.parse(JSON.stringify(parsedParams(definition, params))) as JsonObject;
  const listed = Object.fromEntries(definition.inputs.flatMap((name) => (inputs[name] ? [[name, inputs[name]]] : [])));
  return { step: definition.name, format: definition.format, params: parsed, inputs: listed };
}

/**
 * Runs one shard of a step: makes those of its parts that are not there, and seals the step when all shards' parts are. Whatever ends the
 * process, at any instant, the next run goes on, and the files are the same.
 *
 * @throws PipelineError naming step and shard; the signal's reason
 */
export async function runStep<P>(definition: StepDefinition<P>, spec: StepSpec, context: StepContext): Promise<StepOutcome> {
  const { shard, signal } = context;
  try {
    return await run(definition, spec, context);
  } catch (error) {
    if (signal.aborted && !(error instanceof PipelineError)) {
      const options = { step: spec.step, shard: shard.index, cause: error };
      throw new PipelineError('PIPELINE_STOPPED', 'it was told to stop', 'run it again, it goes on where it was', options);
    }
    throw error instanceof PipelineError ? error.at(spec.step, shard.index) : error;
  }
}

async function run<P>(definition: StepDefinition<P>, spec: StepSpec, context: StepContext): Promise<StepOutcome> {
  const { workspace, shard, log, progress, tuning, clock, engines } = context;
  if (spec.step !== definition.name || spec.format !== definition.format) {
    const problem = `${spec.step} of format ${spec.format} is asked for, and this version writes ${definition.name} of format ${definition.format}`;
    throw new PipelineError('PIPELINE_SPEC', problem, 'let the version of the operator and of its images be the same');
  }
  const params = parsedParams(definition, spec.params);
  const folder = await workspace.open(spec);
  const finished = await folder.manifest();
  if (finished) {
    log.info({ step: spec.step, hash: folder.hash, digest: finished.digest }, 'step was done');
    return { sealed: true, manifest: finished, found: true };
  }
  const inputs = await openInputs(workspace, spec, definition.inputs);
  // the first failure stops what else is under way
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  const calls = new EngineCalls({ engines, tuning, clock, progress, signal });
  for (const role of definition.engines) calls.engine(role);
  const work: StepWork<P> = { params, context: { ...context, signal }, inputs, calls };
  await definition.check?.(work);
  const plan = await definition.plan(work);
  checkPlan(plan);

  const own = plan.filter((_, index) => index % shard.count === shard.index);
  const started = { step: spec.step, hash: folder.hash, shard, unit: definition.unit, concurrency: tuning.concurrency };
  progress.start({ ...started, total: await definition.total(work, own), partsTotal: own.length });
  const acceptance = new StepAcceptance(definition, work, folder, plan);
  const todo: PartPlan[] = [];
  const there = new Set<string>();
  for (const { part, record } of await folder.records(own)) {
    if (!record) todo.push(part);
    else {
      there.add(part.name);
      acceptance.found(part, record.counts);
      progress.partDone(record.counts);
    }
  }
  progress.resume(
    there.size > 0
      ? await definition.total(
          work,
          own.filter(({ name }) => there.has(name)),
        )
      : 0,
  );
  await folder.removeLeftovers(own, there);
  log.info({ ...progress.report(), folder: folder.path }, 'step started');
  const sealed = await makeAndSeal().catch(async (error: unknown) => {
    await acceptance.takeBackAfterRefusal();
    throw error;
  });
  if ('missing' in sealed) {
    log.info({ step: spec.step, hash: folder.hash, missingParts: sealed.missing }, 'shard done');
    return { sealed: false, hash: folder.hash, missingParts: sealed.missing };
  }
  log.info({ step: spec.step, hash: folder.hash, digest: sealed.manifest.digest, counts: sealed.manifest.counts }, 'step done');
  return { sealed: true, manifest: sealed.manifest, found: false };

  async function makeAndSeal() {
    await pooled(todo, definition.openParts(tuning), stop, (part) => makePart(definition, part, work, folder, acceptance));
    return folder.seal(plan, acceptance.check);
  }
}

async function makePart<P>(
  definition: StepDefinition<P>,
  part: PartPlan,
  work: StepWork<P>,
  folder: StepFolder,
  acceptance: StepAcceptance<P>,
): Promise<void> {
  const { signal, progress, shard } = work.context;
  signal.throwIfAborted();
  const journal = await folder.journal(part);
  const files = folder.files(part);
  let counts: Counts;
  try {
    counts = await definition.make(part, work, files, journal);
    signal.throwIfAborted();
    await acceptance.finishing(part, counts);
    await folder.finish(part, await files.complete(), counts, shard);
    await journal.remove();
  } finally {
    await files.discard();
    await journal.close().catch(() => undefined);
  }
  progress.partDone(counts);
}

/** Does all of them, so many at a time. The first failure stops the others, and is thrown when they have ended. */
async function pooled<T>(items: readonly T[], width: number, stop: AbortController, action: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    for (const item of rest) {
      try {
        await action(item);
      } catch (error) {
        failures.push(error);
        stop.abort(error);
      }
      if (failures.length > 0) return;
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, Math.min(width, items.length)) }, worker));
  if (failures.length > 0) throw failures[0];
}

function parsedParams<P>(definition: StepDefinition<P>, params: unknown): P {
  const parsed = definition.params.safeParse(params);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue?.path.join('.') ?? '';
  const problem = `params${field === '' ? '' : `.${field}`}: ${issue?.message ?? 'unexpected'}`;
  throw new PipelineError('PIPELINE_PARAMS', problem, 'correct it', {
    step: definition.name,
    field: `params.${field}`,
    cause: parsed.error,
  });
}

/** A wrong plan is a defect of the step's code. */
function checkPlan(plan: readonly PartPlan[]): void {
  const names = new Set<string>();
  for (const { name, tables } of plan) {
    if (!/^[A-Za-z0-9-]+$/.test(name) || names.has(name)) throw new Error(`part ${name}: its name is taken or no file name`);
    if (tables.length === 0 || !isDeepStrictEqual([...new Set(tables)], tables))
      throw new Error(`part ${name}: its tables are none or named twice`);
    names.add(name);
  }
}
