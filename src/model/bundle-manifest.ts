import { z } from 'zod';

export const bundleFormatVersion = 1;

/** Name of the manifest in a bundle's folder. */
export const bundleManifestFile = 'bundle.json';

/** Entries of the SLM's distribution that the constant of the raw logits is recovered from. */
export const recoveryRows = 5;

const digest = z.string().regex(/^[0-9a-f]{64}$/, 'must be a sha256 in hexadecimal');

/** A file of the bundle, by its name in the folder. */
const file = z.object({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'must be a file name'),
  sha256: digest,
  bytes: z.int().nonnegative(),
});

/** How the decisions of a lower precision differ from fp32's, on real rows of this SLM. */
const comparison = z.object({
  rows: z.int().nonnegative(),
  threshold: z.number(),
  /** Rows whose decision is another one. */
  changed: z.int().nonnegative(),
  maxDifference: z.number().nonnegative(),
  meanDifference: z.number().nonnegative(),
});

/** One precision of the network: the graph, its weights (external data of the graph) and how it compares with fp32. */
const graph = z.object({ model: file, data: file.optional(), comparison: comparison.optional() });

/**
 * `bundle.json` of a router bundle. The bundle's name is the sha256 of this file's bytes, which hold the digests of all the others; nothing
 * in it depends on when or where it was made.
 *
 * The graph's inputs, B rows at a time, all float32; which of them it takes is in `inputs`:
 * - `hidden` [B, hiddenSize]: the SLM's last hidden state after its final norm
 * - `embedding` [B, embeddingSize]: row of the SLM's input embedding of the token to be routed
 * - `logprobs` [B, logitsSize]: the SLM's best log-probabilities, descending
 * - `lm_head` [B, 5, hiddenSize]: rows of the SLM's LM head for the five best tokens, in that order
 *
 * Its outputs: `scores` [B, classes] (before sigmoid or softmax; absent in a bundle without a network); with `lm_head` also `raw_logits`
 * [B, logitsSize] and `spread` [B] (largest minus smallest of the five candidates for the constant).
 */
export const bundleManifestSchema = z.object({
  formatVersion: z.literal(bundleFormatVersion),
  /** Upstream's class name; null: a bundle that only recovers raw logits. */
  network: z.string().nullable(),
  inputs: z.array(z.enum(['hidden', 'embedding', 'logprobs', 'lm_head'])),
  /** 1: sigmoid; 3: softmax over match, neutral, divergent, of which the last is the probability; 0: no network. */
  classes: z.union([z.literal(0), z.literal(1), z.literal(3)]),
  hiddenSize: z.int().positive(),
  embeddingSize: z.int().positive(),
  logitsSize: z.int().positive(),
  /** Trained parameters, without a copy of the SLM's embedding. */
  parameters: z.int().nonnegative(),
  /** The checkpoint's own; null when it has none. */
  threshold: z.number().min(0).max(1).nullable(),
  /** What the logits were rounded to by the SLM's server. */
  logitsType: z.enum(['bfloat16', 'float16', 'float32']),
  slm: z.object({
    /** For people: `model_type` and, where known, the name. */
    name: z.string(),
    vocabSize: z.int().positive(),
    /** sha256 of the input embedding's bytes as stored; a router refuses another SLM. */
    embeddingDigest: digest,
    /** The same of the LM head; equal where the two are tied. */
    lmHeadDigest: digest,
  }),
  graphs: z.object({ fp32: graph.optional(), int8: graph.optional() }),
  /** An input embedding of the network's own [vocabulary, embeddingSize], float32, where it differs from the SLM's. */
  ownEmbedding: file.optional(),
  metrics: z.record(z.string(), z.number()),
  provenance: z.object({ checkpointDigest: digest.nullable(), source: z.string() }),
});

export type BundleManifest = z.infer<typeof bundleManifestSchema>;
export type Precision = keyof BundleManifest['graphs'];
export type BundleInput = BundleManifest['inputs'][number];
