import { z } from 'zod';

/**
 * `Pending`: its Job has no pod that runs yet; `Downloading`; `Ready`: it is in the cache, every file checked; `Retrying`: it failed in a way that
 * may pass; `Failed`: a person is needed, and it is tried again all the same, since what is to be mended may not be in the cluster.
 */
export const modelStates = ['Pending', 'Downloading', 'Ready', 'Retrying', 'Failed'] as const;
export type ModelState = (typeof modelStates)[number];

const time = z.iso.datetime();
const bytes = z.int().min(0);

const modelFailure = z.object({
  code: z.string().max(128).describe('Of the program (see docs/reference/errors.md), or the reason of its pod or Job.'),
  message: z.string().max(2048),
  retryable: z.boolean().describe('Whether it may pass by itself.'),
  at: time,
  generation: z.int().min(0).describe('metadata.generation that it happened with.'),
});

const cachedModelStatus = z.object({
  model: z.string().max(1024).describe('As the spec has it.'),
  state: z.enum(modelStates),
  address: z.string().max(2048).describe('Where it lies, as pvc://<claim>/<path>; other resources of the namespace may name it by that.'),
  commit: z.string().max(64).optional().describe('The commit that its revision was when the download began. It stays that one.'),
  bytes: bytes.optional().describe('Bytes that have arrived.'),
  totalBytes: bytes.optional().describe('Bytes of all its files.'),
  bytesPerSecond: z.number().min(0).optional().describe('Over the last minutes, two significant digits.'),
  etaSeconds: z.int().min(0).optional().describe('How long it still takes at that speed.'),
  progress: z.string().max(128).optional().describe('The same for people: 42% of 15.3 GiB, 210 MiB/s, 1 min left.'),
  claimUID: z.string().max(64).optional().describe('Of the claim that was made, which the model is on.'),
  attempts: z.int().min(0).optional().describe('Jobs that were made for it.'),
  startedAt: time.optional(),
  finishedAt: time.optional(),
  failure: modelFailure.optional().describe('Of the last Job.'),
});

export const modelCacheStatusSchema = z.object({
  claim: z.string().max(253).describe('The PersistentVolumeClaim.'),
  models: z.array(cachedModelStatus).max(8).describe('Models of the present spec.'),
});

export type ModelStatus = z.infer<typeof cachedModelStatus>;
export type ModelFailure = z.infer<typeof modelFailure>;
export type ModelCacheStatus = z.infer<typeof modelCacheStatusSchema>;
