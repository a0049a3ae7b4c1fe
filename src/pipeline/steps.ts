import type { StepName } from './step-identity.ts';
import type { StepDefinition } from './step.ts';

/** Every step by its name. Loaded on demand: a Job runs one of them. */
const loaders: Readonly<Record<StepName, () => Promise<StepDefinition<unknown>>>> = {
  convert: async () => (await import('./convert/convert-step.ts')).convertStep,
  respond: async () => (await import('./respond/respond-step.ts')).respondStep,
  prefill: async () => (await import('./prefill/prefill-step.ts')).prefillStep,
  continue: async () => (await import('./continue/continue-step.ts')).continueStep,
  verify: async () => (await import('./verify/verify-step.ts')).verifyStep,
  construct: async () => (await import('./construct/construct-step.ts')).constructStep,
};

export function stepDefinition(step: StepName): Promise<StepDefinition<unknown>> {
  return loaders[step]();
}
