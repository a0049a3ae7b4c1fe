import { z } from 'zod';

/** Parameters of the steps, with upstream's defaults: data and meaning only. How engines are used is `Tuning`, and changes no output. */

const wholeNumber = z.int().nonnegative();
const positive = z.int().positive();

/** Which model, not where it is: `Qwen/Qwen3-0.6B`, and the revision where one is pinned. */
export const modelNameSchema = z.strictObject({ name: z.string().min(1), revision: z.string().min(1).optional() });
export type ModelName = z.infer<typeof modelNameSchema>;

const thinkTags = {
  thinkStart: z.string().min(1).default('<think>'),
  thinkEnd: z.string().min(1).default('</think>'),
};

const filterSchema = z.union([
  z.strictObject({ field: z.string().min(1), equals: z.union([z.string(), z.number(), z.boolean()]) }),
  z.strictObject({ field: z.string().min(1), in: z.array(z.union([z.string(), z.number(), z.boolean()])).min(1) }),
  /** The kind of question by its first words, as upstream tells those of Bespoke-Stratos apart. */
  z.strictObject({ bespoke: z.enum(['math', 'code', 'qa']) }),
]);

export const datasetEntrySchema = z.strictObject({
  /** Begins the ids of its questions. */
  name: z.string().regex(/^[A-Za-z0-9][\w.-]*$/, 'must be letters, digits, ".", "_" and "-"'),
  /** `hf://datasets/<org>/<repo>[@revision]`, `pvc://claim/path`, or a path. */
  path: z.string().min(1),
  subset: z.string().min(1).optional(),
  split: z.string().min(1).default('train'),
  /** @default by the files' endings */
  format: z.enum(['parquet', 'jsonl', 'csv']).optional(),
  /** @default the row's number */
  idField: z.string().min(1).optional(),
  question: z.union([
    z.strictObject({ field: z.string().min(1) }),
    /** The first turn of this role, of a column that holds a conversation. */
    z.strictObject({ conversationField: z.string().min(1), role: z.string().min(1).default('user') }),
    z.strictObject({
      multipleChoice: z.strictObject({
        questionField: z.string().min(1),
        /** The right one first: it is the answer. */
        optionFields: z.array(z.string().min(1)).min(2).max(26),
        seed: wholeNumber.default(42),
      }),
    }),
  ]),
  filter: filterSchema.optional(),
  /** With `{{question}}`, and `{{options}}` for multiple choice. @default the question, then the options */
  template: z.string().min(1).optional(),
  type: z.string().default(''),
  answerField: z.string().min(1).optional(),
  numItems: positive.optional(),
});
export type DatasetEntry = z.infer<typeof datasetEntrySchema>;

export const convertParamsSchema = z.strictObject({
  /** Names of presets, or entries. */
  datasets: z.array(z.union([z.string().min(1), datasetEntrySchema])).min(1),
  numItems: positive.optional(),
  /** Raised by the user when a source has changed under the same address. */
  generation: wholeNumber.default(0),
});
export type ConvertParams = z.infer<typeof convertParamsSchema>;

export const respondParamsSchema = z.strictObject({
  models: z.strictObject({ slm: modelNameSchema, llm: modelNameSchema }),
  maxNewTokens: positive.default(32_768),
  enableThinking: z.boolean().default(true),
  templateVariables: z.record(z.string(), z.json()).default({}),
  ...thinkTags,
  numItems: positive.optional(),
  itemIds: z.array(z.string()).min(1).optional(),
  /** Whose answers are labelled. The SLM's are in the words that routing leaves to it. @default `llm`, as upstream */
  writer: z.enum(['llm', 'slm']).optional(),
});
export type RespondParams = z.infer<typeof respondParamsSchema>;

export const prefillParamsSchema = z.strictObject({
  models: z.strictObject({ slm: modelNameSchema }),
  /** Longer ones are left out and counted. */
  maxInputLength: positive.default(32_768),
  topCount: z.int().min(5).max(1000).default(100),
  /** Positions asked for in one call; it changes the last bits of what an engine computes. */
  segmentTokens: z.int().min(1).max(256).default(256),
  /** Also rows before the response's think tag, which nobody trains on. */
  promptRows: z.boolean().default(false),
  ...thinkTags,
});
export type PrefillParams = z.infer<typeof prefillParamsSchema>;

export const continueParamsSchema = z.strictObject({
  models: z.strictObject({ slm: modelNameSchema, llm: modelNameSchema }),
  /** Longer responses are left out. */
  maxTokens: positive.default(32_768),
  maxNewTokens: positive.default(8192),
  /** Sentences that the verifier is shown; one sentence end more is generated. */
  numContinuation: positive.default(1),
  /** Sentences before the current one that both texts begin with; -1: all. */
  previousContext: z.int().min(-1).default(0),
  /** Sentences of the context both have in common; -1: all. */
  commonPreviousContext: z.int().min(-1).default(-1),
  skipStressDivergentToken: z.boolean().default(false),
  ...thinkTags,
});
export type ContinueParams = z.infer<typeof continueParamsSchema>;

export const verifyParamsSchema = z.strictObject({
  models: z.strictObject({ verifier: modelNameSchema.default({ name: 'Qwen/Qwen2.5-72B-Instruct' }) }).prefault({}),
  /** `standard` for an instructed model; `plain` is the one form that the tiny verifier of examples/models knows. */
  prompt: z.enum(['standard', 'plain']).default('standard'),
  maxNewTokens: positive.default(16),
  /** Tries until the answer is 0 or 1. */
  attempts: z.int().min(1).max(10).default(3),
  enableThinking: z.boolean().default(false),
  templateVariables: z.record(z.string(), z.json()).default({}),
  /** More verdicts that are missing than this share: the verifier is not fit for it. */
  maxUnknownShare: z.number().min(0).max(1).default(0.05),
});
export type VerifyParams = z.infer<typeof verifyParamsSchema>;

export const constructParamsSchema = z
  .strictObject({
    /** Of the questions: for early stopping. */
    validationShare: z.number().min(0).max(1).default(0.1),
    /** Of the questions: for threshold and gate, never seen in training. */
    testShare: z.number().min(0).max(1).default(0.1),
    seed: wholeNumber.default(42),
    rowsPerPart: positive.default(65_536),
    /** Questions from, inclusive. */
    minDataId: wholeNumber.optional(),
    /** Questions to, inclusive. */
    maxDataId: wholeNumber.optional(),
    /** Positions up to this one. */
    finalMaxTokenId: wholeNumber.optional(),
  })
  .refine(({ validationShare, testShare }) => validationShare + testShare < 1, {
    path: ['testShare'],
    message: 'validationShare and testShare must leave questions to train on: together less than 1',
  });
export type ConstructParams = z.infer<typeof constructParamsSchema>;
