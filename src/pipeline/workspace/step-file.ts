import { join } from 'node:path';
import { z } from 'zod';
import { canonicalJson } from '../../api/canonical-json.ts';
import { identityText, type StepSpec } from '../../api/step-identity.ts';
import { PipelineError } from '../errors.ts';
import { writeWhole } from './atomic-file.ts';
import { onDisk, type FileSystem } from './file-system.ts';

const fileName = 'step.json';

const schema = z.strictObject({
  step: z.string(),
  format: z.int().positive(),
  params: z.record(z.string(), z.json()),
  inputs: z.record(z.string(), z.strictObject({ hash: z.string(), digest: z.string() })),
});

/**
 * What a step's folder says that it is of: the same step as `spec`, whose inputs may have lain in other folders. Undefined where it says nothing.
 *
 * @throws PipelineError `PIPELINE_SPEC` when it is another step's
 */
export async function readStepFile<S extends StepSpec<string>>(fileSystem: FileSystem, folder: string, spec: S): Promise<S | undefined> {
  const file = join(folder, fileName);
  const bytes = await onDisk(file, () => fileSystem.read(file));
  if (!bytes) return undefined;
  const found = parsed(bytes);
  // equal but for where inputs lie, and so of the type of `spec`
  if (found && identityText(found) === identityText(spec)) return found as S;
  const fix = 'remove this folder, which this program did not write';
  throw new PipelineError('PIPELINE_SPEC', 'its step.json describes another step', fix, { step: spec.step, file });
}

/** Durably. @throws PipelineError */
export async function writeStepFile(fileSystem: FileSystem, folder: string, spec: StepSpec<string>): Promise<void> {
  await writeWhole(fileSystem, join(folder, fileName), `${canonicalJson(spec)}\n`);
}

function parsed(bytes: Buffer): StepSpec<string> | undefined {
  try {
    return schema.parse(JSON.parse(bytes.toString('utf8')));
  } catch {
    return undefined;
  }
}
