import type { DatasetSpec } from '../api/r2rrouter-dataset.ts';
import type { JobName } from '../api/r2rrouter-jobs.ts';
import { routerModel } from '../api/r2rrouter-models.ts';
import type { RouterModel } from '../api/r2rrouter-models.ts';
import type { PipelineSpec } from '../api/r2rrouter-pipeline.ts';
import { presetSettings } from '../api/r2rrouter-presets.ts';
import type { ModelRole } from '../api/r2rrouter-presets.ts';
import type { R2RRouterSpec } from '../api/r2rrouter.ts';
import { bundleFormat, stepFormats, stepHash, trainFormat } from '../api/step-identity.ts';
import type { JsonObject, JsonValue, StepInput, StepName, StepSpec } from '../api/step-identity.ts';
import { trainerSettings } from './router-trainer-settings.ts';

/** One step of what makes a router: its output depends on these and on the data of its inputs alone. */
export interface RouterStep {
  readonly name: JobName;
  readonly format: number;
  readonly params: JsonObject;
  /** Steps whose data it reads, all of them before it in the list. */
  readonly inputs: readonly JobName[];
}

/** A resource that passed the API server's rules without saying which model is meant: an older CRD is installed. */
export class RouterSpecError extends Error {
  readonly code = 'R2R_ROUTER_SPEC';
}

/** Which steps each one reads; src/pipeline says the same of its own. */
export const stepInputs: Readonly<Record<StepName, readonly StepName[]>> = {
  convert: [],
  respond: ['convert'],
  prefill: ['respond'],
  continue: ['respond', 'prefill'],
  verify: ['convert', 'continue'],
  construct: ['respond', 'prefill', 'verify'],
};

/**
 * The steps that a spec asks for, in an order in which they can run. Parameters are complete, defaults included, so that both this and the
 * program that runs a step know it by one hash.
 *
 * @param repetitions - how often a schedule had the data sets read again
 * @throws RouterSpecError
 */
export function routerSteps(spec: R2RRouterSpec, repetitions = 0): readonly RouterStep[] {
  const { checkpoint, labels, pipeline } = spec.source;
  const slm = modelName(modelOf(spec, 'slm'));
  if (checkpoint) return [{ name: 'bundle', format: bundleFormat, params: { slm, checkpoint: { uri: checkpoint.uri } }, inputs: [] }];
  const training = { ...trainerSettings(spec.training), slm };
  // The label set is read for its test rows.
  const bundle = (...inputs: readonly JobName[]): RouterStep => ({ name: 'bundle', format: bundleFormat, params: { slm }, inputs });
  if (labels) {
    const params = { ...training, labels: { path: labels.path, generation: labels.generation } };
    return [{ name: 'train', format: trainFormat, params, inputs: [] }, bundle('train')];
  }
  if (!pipeline) throw new RouterSpecError('spec.source: names no checkpoint, labels or pipeline; install the CRD of this version');
  const params = pipelineParams(spec, pipeline, repetitions);
  return [
    ...(Object.entries(stepInputs) as [StepName, readonly StepName[]][]).map(([name, inputs]) => ({
      name,
      format: stepFormats[name],
      params: params[name],
      inputs,
    })),
    { name: 'train', format: trainFormat, params: training, inputs: ['construct'] },
    bundle('construct', 'train'),
  ];
}

/** What a step is known by; undefined while the data of one of its inputs is not there. */
export function identityOf(step: RouterStep, results: ReadonlyMap<JobName, StepInput>): StepSpec<JobName> | undefined {
  const inputs: Partial<Record<JobName, StepInput>> = {};
  for (const name of step.inputs) {
    const result = results.get(name);
    if (!result) return undefined;
    inputs[name] = { hash: result.hash, digest: result.digest };
  }
  return { step: step.name, format: step.format, params: step.params, inputs };
}

/** {@link identityOf} as the hash by which Job and folder are named. */
export function hashOf(step: RouterStep, results: ReadonlyMap<JobName, StepInput>): string | undefined {
  const identity = identityOf(step, results);
  return identity && stepHash(identity);
}

/** A model that the spec must name. @throws RouterSpecError */
export function modelOf(spec: R2RRouterSpec, role: ModelRole): RouterModel {
  const model = routerModel(spec, role);
  if (!model) throw new RouterSpecError(`spec.models.${role}.model: nothing says where this model is; set it`);
  return model;
}

function pipelineParams(spec: R2RRouterSpec, pipeline: PipelineSpec, repetitions: number): Readonly<Record<StepName, JsonObject>> {
  const names = (...roles: readonly ModelRole[]): JsonObject =>
    Object.fromEntries(roles.map((role) => [role === 'continuation' ? 'llm' : role, modelName(modelOf(spec, role))]));
  const tags = { thinkStart: spec.specialTokens.thinkStart, thinkEnd: spec.specialTokens.thinkEnd };
  const { prompt = spec.preset ? presetSettings[spec.preset].verifierPrompt : 'standard', ...verify } = pipeline.verify;
  return {
    convert: present({
      datasets: pipeline.datasets.map(dataset),
      numItems: pipeline.numItems,
      generation: pipeline.generation + repetitions,
    }),
    respond: present({ models: names('slm', 'llm'), ...tags, ...pipeline.respond }),
    prefill: present({ models: names('slm'), ...tags, ...pipeline.prefill }),
    continue: present({ models: names('slm', 'continuation'), ...tags, ...pipeline.continue }),
    verify: present({ models: names('verifier'), prompt, ...verify }),
    construct: present(pipeline.construct),
  };
}

function dataset({ preset, questionField, conversationField, conversationRole, multipleChoice, filter, ...rest }: DatasetSpec): JsonValue {
  if (preset !== undefined) return preset;
  const question = multipleChoice
    ? { multipleChoice }
    : conversationField === undefined
      ? { field: questionField }
      : { conversationField, role: conversationRole };
  return present({ ...rest, question: present(question), ...(filter && { filter: present(filter) }) });
}

function modelName({ name, revision }: RouterModel): JsonObject {
  return present({ name, revision });
}

/** Without the fields that are left out. */
function present(value: Readonly<Record<string, unknown>>): JsonObject {
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, JsonValue] => entry[1] !== undefined));
}
