import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { convertStep } from '../../../src/pipeline/convert/convert-step.ts';
import { PipelineError, type PipelineErrorCode } from '../../../src/pipeline/errors.ts';
import { makeSpec, runStep } from '../../../src/pipeline/run-step.ts';
import { FinishedStep } from '../../../src/pipeline/step-reader.ts';
import type { SourceAccess } from '../../../src/pipeline/step.ts';
import { questionsTable, type QuestionRow } from '../../../src/pipeline/tables.ts';
import type { StepManifest } from '../../../src/pipeline/workspace/manifest.ts';
import { Workspace } from '../../../src/pipeline/workspace/workspace.ts';
import { toyContext } from '../toy-steps.ts';

export interface Converted {
  readonly manifest: StepManifest;
  readonly rows: readonly QuestionRow[];
}

/** Runs the step in a folder, and reads what it wrote. */
export async function convert(
  folder: string,
  params: unknown,
  access: Partial<SourceAccess> = {},
  signal?: AbortSignal,
): Promise<Converted> {
  const context = {
    ...toyContext({ folder, count: 0, ...(signal && { signal }) }),
    sources: { cacheFolder: `${folder}/cache`, ...access },
  };
  const outcome = await runStep(convertStep, makeSpec(convertStep, params, {}), context);
  assert.ok(outcome.sealed);
  return { manifest: outcome.manifest, rows: await rowsOf(folder, outcome.manifest) };
}

async function rowsOf(folder: string, manifest: StepManifest): Promise<readonly QuestionRow[]> {
  const step = new FinishedStep(new Workspace(folder), `${folder}/convert-${manifest.hash}`, manifest);
  const rows: QuestionRow[] = [];
  for await (const row of step.rows('questions', questionsTable)) rows.push(row);
  return rows;
}

/** Each part of the message matters to whoever reads it. */
export async function refused(
  running: Promise<unknown>,
  code: PipelineErrorCode,
  ...parts: readonly (string | RegExp)[]
): Promise<PipelineError> {
  let thrown: unknown;
  await running.catch((error: unknown) => (thrown = error));
  assert.ok(thrown instanceof PipelineError, inspect(thrown));
  assert.equal(thrown.code, code, thrown.message);
  for (const part of parts)
    assert.match(thrown.message, typeof part === 'string' ? new RegExp(part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')) : part);
  return thrown;
}
