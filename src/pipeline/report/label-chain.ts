import { PipelineError } from '../errors.ts';
import { constructParamsSchema, type ConstructParams } from '../params.ts';
import type { StepName } from '../step-identity.ts';
import { FinishedStep } from '../step-reader.ts';
import type { StepReader } from '../step.ts';
import type { StepManifest } from '../workspace/manifest.ts';
import type { Workspace } from '../workspace/workspace.ts';

/** A label set and the steps that it was made of. */
export interface LabelChain {
  readonly construct: StepManifest;
  readonly params: ConstructParams;
  readonly respond: StepReader;
  readonly prefill: StepReader;
  readonly continuations: StepReader;
  readonly verify: StepReader;
}

/**
 * Finds a label set in a workspace, and what it was made of.
 *
 * @param hash of the construct step @default the only one that is done
 * @throws PipelineError `PIPELINE_INPUT_MISSING` naming those that there are
 */
export async function openLabelChain(workspace: Workspace, hash?: string): Promise<LabelChain> {
  const done = (await workspace.steps()).flatMap(({ step, manifest }) => (step === 'construct' && manifest ? [manifest] : []));
  const construct = hash === undefined && done.length === 1 ? done[0] : done.find((each) => each.hash === hash);
  if (!construct) throw notFound(workspace, hash, done);
  const open = async (step: StepName, of: StepManifest): Promise<StepReader> => {
    const input = of.inputs[step];
    if (!input)
      throw new PipelineError('PIPELINE_SPEC', `${of.step} does not say which ${step} it read`, 'run it again', { step: of.step });
    const { folder, manifest } = await workspace.input(step, input);
    return new FinishedStep(workspace, folder, manifest);
  };
  const verify = await open('verify', construct);
  return {
    construct,
    params: constructParamsSchema.parse(construct.params),
    respond: await open('respond', construct),
    prefill: await open('prefill', construct),
    continuations: await open('continue', verify.manifest),
    verify,
  };
}

function notFound({ folder }: Workspace, hash: string | undefined, done: readonly StepManifest[]): PipelineError {
  const there = done.map((each) => each.hash).join(', ') || 'none';
  const problem =
    hash === undefined && done.length > 1
      ? `${folder} holds several label sets: ${there}`
      : `${folder} holds no finished label set${hash === undefined ? '' : ` ${hash}; there are: ${there}`}`;
  const fix = done.length > 0 ? 'name one of them by its hash' : 'run the steps through construct first';
  return new PipelineError('PIPELINE_INPUT_MISSING', problem, fix, { step: 'construct' });
}
