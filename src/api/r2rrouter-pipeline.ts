import { z } from 'zod';
import { freeForm } from './cel.ts';
import { datasetSchema } from './r2rrouter-dataset.ts';
import { secretKeyRef } from './r2rrouter-secret.ts';

const count = z.int32().min(1);
const maxTokens = count.max(16_777_216);
const numItems = count.optional();
const share = z.number().min(0).max(1);
const templateVariables = z.looseObject({}).meta(freeForm).prefault({});

/** How labels are made. The defaults are upstream's; each field is part of what the step's result is known by. */
export const pipelineSchema = z.object({
  datasets: z.array(datasetSchema).min(1).max(32).describe('Where questions come from.'),
  numItems: numItems.describe('Take the first so many questions of all data sets together. Left out: all.'),
  generation: z
    .int32()
    .min(0)
    .default(0)
    .describe('Raise it to read the data sets again although their addresses are the same; whatever has changed is labelled anew.'),
  tokenSecretRef: secretKeyRef
    .optional()
    .describe('Access token for data sets on the hub that are private or gated. Mounted in the Job that reads them.'),
  respond: z
    .object({
      maxNewTokens: maxTokens.default(32_768).describe('Longest answer; a longer one is cut off and not learnt from.'),
      enableThinking: z.boolean().default(true).describe("The chat template's enable_thinking."),
      templateVariables: templateVariables.describe('Further variables of the chat template.'),
      numItems: numItems.describe('Ask the first so many questions. Left out: all.'),
      itemIds: z.array(z.string().min(1).max(512)).min(1).max(1024).optional().describe('Ask these alone. Left out: all.'),
      writer: z
        .enum(['llm', 'slm'])
        .optional()
        .describe(
          "Who answers. `slm`: the small model does, and the large one (models.continuation) reads along and says where it would have said something else; so the router learns from texts in the small model's words, as routing makes them. Left out: llm, as upstream.",
        ),
    })
    .prefault({})
    .describe('The large model, or the small one, answers (upstream: step 0).'),
  prefill: z
    .object({
      maxInputLength: maxTokens.default(32_768).describe('Longer answers are left out and counted.'),
      topCount: z.int32().min(5).max(1000).default(100).describe('Logits kept for each token.'),
      segmentTokens: z.int32().min(1).max(256).default(256).describe('Tokens asked for in one call.'),
      promptRows: z.boolean().default(false).describe('Also rows before the response, which nobody trains on.'),
    })
    .prefault({})
    .describe('The small model reads the answers (upstream: step 1).'),
  continue: z
    .object({
      maxTokens: maxTokens.default(32_768).describe('Longer answers are left out.'),
      maxNewTokens: maxTokens.default(8192).describe('Longest continuation.'),
      numContinuation: count.max(64).default(1).describe('Sentences that the verifier is shown.'),
      previousContext: z.int32().min(-1).default(0).describe('Sentences before the present one that both texts begin with; -1: all.'),
      commonPreviousContext: z.int32().min(-1).default(-1).describe('Sentences of what both have in common; -1: all.'),
      skipStressDivergentToken: z.boolean().default(false).describe('Do not mark the token at which they part.'),
    })
    .prefault({})
    .describe('Where they differ, both ways are continued (upstream: step 2).'),
  verify: z
    .object({
      prompt: z
        .enum(['standard', 'plain'])
        .optional()
        .describe(
          '`standard`: for an instructed model; `plain`: the form that the tiny verifier knows. Left out: standard, plain with preset tiny.',
        ),
      maxNewTokens: count.max(65_536).default(16).describe('Longest answer of the verifier.'),
      attempts: z.int32().min(1).max(10).default(3).describe('Tries until it says 0 or 1.'),
      enableThinking: z.boolean().default(false).describe("The chat template's enable_thinking."),
      templateVariables: templateVariables.describe('Further variables of the chat template.'),
      maxUnknownShare: share
        .default(0.05)
        .describe('More differences without a verdict than this share: the verifier is not fit for it, and the step fails.'),
    })
    .prefault({})
    .describe('The verifier judges whether a difference changes the meaning (upstream: step 3).'),
  construct: z
    .object({
      validationShare: share.default(0.1).describe('Share of the questions that early stopping looks at.'),
      testShare: share
        .default(0.1)
        .describe('Share of the questions that threshold and gate are decided on, and that are never trained on.'),
      seed: z.int32().min(0).default(42).describe('Of the choice of these questions.'),
      rowsPerPart: z.int32().min(1024).max(16_777_216).default(65_536).describe('Rows of a file, to the end of a question.'),
      minDataId: z.int32().min(0).optional().describe('First question, inclusive. Left out: the first.'),
      maxDataId: z.int32().min(0).optional().describe('Last question, inclusive. Left out: the last.'),
      finalMaxTokenId: z.int32().min(0).optional().describe('Last position of an answer. Left out: its end.'),
    })
    .meta({
      'x-kubernetes-validations': [
        {
          rule: '!has(self.validationShare) || !has(self.testShare) || self.validationShare + self.testShare < 1.0',
          message: 'testShare: validationShare and testShare must leave questions to train on; make them less than 1 together',
        },
      ],
    })
    .prefault({})
    .describe('Answers, differences and verdicts become the label set (upstream: step 4).'),
});

export type PipelineSpec = z.infer<typeof pipelineSchema>;
