import { oncePerRun } from './once-per-run.ts';
import type { EngineRole, StepWork } from './step.ts';

const asked = {
  slm: oncePerRun((work: StepWork<unknown>) => ask('slm', work)),
  llm: oncePerRun((work: StepWork<unknown>) => ask('llm', work)),
  verifier: oncePerRun((work: StepWork<unknown>) => ask('verifier', work)),
};

/** Prompt and answer together, in tokens; Infinity when the server does not say. @throws PipelineError `PIPELINE_ENGINE` */
export function contextLengthOf(role: EngineRole, work: StepWork<unknown>): Promise<number> {
  return asked[role](work);
}

async function ask(role: EngineRole, { calls }: StepWork<unknown>): Promise<number> {
  return (await calls.run(role, ({ client }, _, signal) => client.contextLength(signal))) ?? Infinity;
}
