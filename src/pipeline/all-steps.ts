import { z } from 'zod';
import { PipelineError } from './errors.ts';
import { makeSpec, runStep } from './run-step.ts';
import { stepNames, type StepInput, type StepName } from './step-identity.ts';
import { stepDefinition } from './steps.ts';
import type { StepContext, StepDefinition } from './step.ts';
import type { StepManifest } from './workspace/manifest.ts';

/** Parameters of every step; those of a step that is left out are the defaults, where it has any. */
export type AllParams = Readonly<Partial<Record<StepName, unknown>>>;

const allParamsSchema = z.strictObject(Object.fromEntries(stepNames.map((step) => [step, z.unknown().optional()])));

/**
 * Runs the steps one after the other, in one process. What is done already is found done, so that running it again after a kill, or with another
 * parameter, does what is left only. All parameters are looked at before the first step runs.
 *
 * @param contextOf each step's own: progress counts one step, and every step has all engines
 * @throws PipelineError naming the step
 */
export async function runAll(
  params: unknown,
  contextOf: (step: StepName) => StepContext,
  done: (manifest: StepManifest) => void = () => undefined,
): Promise<Readonly<Record<StepName, StepManifest>>> {
  const given = parseAllParams(params);
  const definitions: StepDefinition<unknown>[] = [];
  for (const step of stepNames) {
    const definition = await stepDefinition(step);
    makeSpec(definition, given[step] ?? {}, {});
    definitions.push(definition);
  }
  const manifests: Partial<Record<StepName, StepManifest>> = {};
  for (const definition of definitions) {
    const inputs = Object.fromEntries(
      definition.inputs.flatMap((name): [StepName, StepInput][] => {
        const input = manifests[name];
        return input ? [[name, { hash: input.hash, digest: input.digest }]] : [];
      }),
    );
    const outcome = await runStep(definition, makeSpec(definition, given[definition.name] ?? {}, inputs), {
      ...contextOf(definition.name),
      shard: { index: 0, count: 1 },
    });
    if (!outcome.sealed)
      throw new Error(`${definition.name}: ${outcome.missingParts} parts are missing, though one shard makes all of them`);
    manifests[definition.name] = outcome.manifest;
    done(outcome.manifest);
  }
  return manifests as Record<StepName, StepManifest>;
}

function parseAllParams(params: unknown): AllParams {
  const parsed = allParamsSchema.safeParse(params);
  if (parsed.success) return parsed.data;
  const problem = `the parameters of all steps: ${parsed.error.issues[0]?.message ?? 'unexpected'}`;
  throw new PipelineError('PIPELINE_PARAMS', problem, `give an object with ${stepNames.join(', ')}`, { cause: parsed.error });
}
