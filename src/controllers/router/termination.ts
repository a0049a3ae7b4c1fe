import { z } from 'zod';

const share = z.number().min(0).max(1);
const counts = z.record(z.string(), z.int().nonnegative());

/** What the bundling step measured on the test rows, and where the bundle is. */
const bundleResult = z.object({
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  uri: z.string().min(1).max(2048),
  recall: share.optional(),
  positiveRate: share.optional(),
  threshold: share.optional(),
  /** Test rows. */
  rows: z.int().nonnegative().optional(),
  /** The bundle in use on the same rows, at the recall that the gate asks for. */
  current: z.object({ digest: z.string().max(64).optional(), recall: share, positiveRate: share, minRecall: share.optional() }).optional(),
});
export type BundleResult = z.infer<typeof bundleResult>;

const done = z.object({
  ok: z.literal(true),
  step: z.string(),
  hash: z.string(),
  /** False: other shards are not done. */
  sealed: z.boolean(),
  digest: z.string().max(64).optional(),
  rows: counts.optional().catch(undefined),
  counts: counts.optional().catch(undefined),
  bundle: bundleResult.optional(),
});

const failed = z.object({
  ok: z.literal(false),
  code: z.string().max(128),
  shard: z.int().nonnegative().optional(),
  /** Whose data is at fault, where it is another one's. */
  faultyStep: z.string().max(64).optional(),
  field: z.string().max(256).optional(),
  message: z.string(),
  retryable: z.boolean(),
});

/** A step's last words, as src/pipeline/outcome.ts writes them, as far as the operator reads them. */
export type TerminationMessage = z.infer<typeof done> | z.infer<typeof failed>;

const message = z.union([done, failed]);

/** The trainer's last line: `trainer: CONFIG_INVALID: training.loss: …`. */
const trainerError = /^trainer: ([A-Z][A-Z_]+): (.+)$/m;

/** Reads a container's termination message; undefined for one that no step wrote, such as the end of a log. */
export function readTermination(text: string | undefined): TerminationMessage | undefined {
  if (text === undefined || text === '') return undefined;
  const trained = trainerError.exec(text);
  if (trained?.[1] !== undefined && trained[2] !== undefined) return { ok: false, code: trained[1], message: trained[2], retryable: false };
  try {
    return message.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
