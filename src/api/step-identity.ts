import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical-json.ts';

export const stepNames = ['convert', 'respond', 'prefill', 'continue', 'verify', 'construct'] as const;
export type StepName = (typeof stepNames)[number];

/** Version of what each step's output means: raised whenever the same inputs would give another output than before. */
export const stepFormats: Readonly<Record<StepName, number>> = { convert: 1, respond: 1, prefill: 1, continue: 1, verify: 1, construct: 1 };

/** As {@link stepFormats}, of training and of bundles, which no step of the pipeline reads. */
export const trainFormat = 1;
export const bundleFormat = 1;

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/** The output of a step that another one reads. */
export interface StepInput {
  /** Where it is looked for first. Steps of other parameters may have made the same data, and any of them will do. */
  readonly hash: string;
  /** Of its data: see the manifest. */
  readonly digest: string;
}

/**
 * What makes a step's output what it is: data and semantic parameters, the data of the steps it reads, and the version of what it means. Never
 * the image, resources, shards, or anything of the engines but the models they serve.
 */
export interface StepSpec<Name extends string = StepName> {
  readonly step: Name;
  readonly format: number;
  readonly params: JsonObject;
  readonly inputs: Readonly<Partial<Record<Name, StepInput>>>;
}

/**
 * 16 hexadecimal digits: equal for equal inputs, so that an unchanged step is never run again. An input counts by its data alone: a change
 * before it that leaves its data as it was changes nothing here.
 */
export function stepHash(spec: StepSpec<string>): string {
  return createHash('sha256').update(identityText(spec)).digest('hex').slice(0, 16);
}

/** What {@link stepHash} covers. */
export function identityText({ step, format, params, inputs }: StepSpec<string>): string {
  const digests = Object.fromEntries(Object.entries(inputs).flatMap(([name, input]) => (input ? [[name, input.digest]] : [])));
  return canonicalJson({ step, format, params, inputs: digests });
}

/** The folder of a step in its workspace. */
export function stepFolderName(step: string, hash: string): string {
  return `${step}-${hash}`;
}
