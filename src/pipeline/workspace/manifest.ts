import { createHash } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from '../../api/canonical-json.ts';
import { stepHash, stepNames, type StepSpec } from '../step-identity.ts';
import type { Counts, PartPlan } from '../step.ts';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const counts = z.record(z.string(), z.number());

/** `step.json` of a folder, and what `r2r pipeline run` is given. */
export const stepSpecSchema: z.ZodType<StepSpec> = z.strictObject({
  step: z.enum(stepNames),
  format: z.int().positive(),
  params: z.record(z.string(), z.json()),
  inputs: z.partialRecord(z.enum(stepNames), z.strictObject({ hash: z.string(), digest: z.string() })),
});

const partFileSchema = z.object({
  table: z.string(),
  /** Below the step's folder. */
  file: z.string().regex(/^data\/[^/\0]+$/),
  bytes: z.int().nonnegative(),
  sha256,
  rows: z.int().nonnegative(),
});
export type PartFile = z.infer<typeof partFileSchema>;

const partRecordSchema = z.object({
  formatVersion: z.literal(1),
  part: z.string(),
  /** Which one made it; no part of the manifest. */
  shard: z.object({ index: z.int().nonnegative(), count: z.int().positive() }),
  files: z.array(partFileSchema),
  counts,
});
/** That a part is finished, and what its files are. */
export type PartRecord = Readonly<z.infer<typeof partRecordSchema>>;

const manifestSchema = z.object({
  formatVersion: z.literal(1),
  step: z.enum(stepNames),
  format: z.int().positive(),
  hash: z.string().regex(/^[0-9a-f]{16}$/),
  params: z.record(z.string(), z.json()),
  inputs: z.partialRecord(z.enum(stepNames), z.object({ hash: z.string(), digest: z.string() })),
  parts: z.array(
    z.object({
      part: z.string(),
      firstQuestion: z.int().nonnegative(),
      questions: z.int().nonnegative(),
      files: z.array(partFileSchema),
      counts,
    }),
  ),
  /** By table. */
  rows: z.record(z.string(), z.int().nonnegative()),
  counts,
  digest: sha256,
});
/** All there is to know of a finished step. Whatever happened on the way, and however many shards there were, it is the same. */
export type StepManifest = Readonly<z.infer<typeof manifestSchema>>;

/** @param parts with their records, in the order of the plan */
export function makeManifest(spec: StepSpec, parts: readonly { readonly plan: PartPlan; readonly record: PartRecord }[]): StepManifest {
  const files = parts.flatMap(({ record }) => record.files);
  const rows: Record<string, number> = {};
  for (const file of files) rows[file.table] = (rows[file.table] ?? 0) + file.rows;
  return {
    formatVersion: 1,
    step: spec.step,
    format: spec.format,
    hash: stepHash(spec),
    params: spec.params as Record<string, z.core.util.JSONType>,
    inputs: spec.inputs,
    parts: parts.map(({ plan, record }) => ({
      part: plan.name,
      firstQuestion: plan.firstQuestion,
      questions: plan.questions,
      files: record.files,
      counts: record.counts,
    })),
    rows,
    counts: sumOfCounts(parts.map(({ record }) => record.counts)),
    digest: digestOf(files),
  };
}

/** Over the data alone: steps that read it need not run again when something else about it has changed. */
function digestOf(files: readonly PartFile[]): string {
  const data = files.map(({ table, file, sha256: digest, rows }) => ({ table, file, sha256: digest, rows }));
  return createHash('sha256').update(canonicalJson(data)).digest('hex');
}

export function sumOfCounts(all: Iterable<Counts>): Record<string, number> {
  const sum: Record<string, number> = {};
  for (const each of all) for (const [name, count] of Object.entries(each)) sum[name] = (sum[name] ?? 0) + count;
  return sum;
}

/** Undefined when it is none: damaged, or of another version of this program. */
export function parseManifest(bytes: Buffer | undefined): StepManifest | undefined {
  return parse(manifestSchema, bytes);
}

/** Undefined when it is none. */
export function parsePartRecord(bytes: Buffer | undefined): PartRecord | undefined {
  return parse(partRecordSchema, bytes);
}

export function manifestText(manifest: StepManifest): string {
  return `${canonicalJson(manifest)}\n`;
}

function parse<T>(schema: z.ZodType<T>, bytes: Buffer | undefined): T | undefined {
  if (!bytes) return undefined;
  try {
    return schema.parse(JSON.parse(bytes.toString('utf8')));
  } catch {
    return undefined;
  }
}
