import { z } from 'zod';
import { freeForm, rules } from './cel.ts';
import { image } from './model-server.ts';

/** Upstream's network classes. */
export const networkClasses = [
  'HiddenStatesTokenLMHeadLogitsClassifier',
  'HiddenStatesTokenLMHeadClassifier',
  'HiddenStatesLogitsClassifier',
  'HiddenStatesClassifierWithLMHead',
  'HiddenStatesClassifier',
  'LogitsClassifier',
  'MultiLogitsClassifier',
  'MultiHiddenStatesClassifier',
  'MultiClassLogitsClassifier',
  'MultiClassHiddenStatesClassifier',
  'MultiClassHiddenStatesClassifierWithLMHead',
] as const;

const losses = ['BCEWithLogitsLoss', 'FocalLoss', 'DPOLoss', 'CrossEntropyLoss'] as const;

const lossOption = (meaning: string, ...users: readonly (typeof losses)[number][]) => ({
  meaning: `Only with loss ${users.join(' and ')}. ${meaning}`,
  rule: (field: string) => ({
    rule: `!has(self.${field}) || (has(self.type) ? self.type : 'BCEWithLogitsLoss') in [${users.map((each) => `'${each}'`).join(', ')}]`,
    message: `${field}: applies only to loss ${users.join(' and ')}; remove it, or set type to one of these`,
  }),
});

const lossOptions = {
  posWeight: lossOption(
    'Weight of a divergent row beside another; 1: scores are probabilities. Left out: as many times as there are fewer of them.',
    'BCEWithLogitsLoss',
  ),
  recallFactor: lossOption(
    'Weight of divergent rows beside that by their number; above 1 favours recall. Left out: 1.',
    'BCEWithLogitsLoss',
    'CrossEntropyLoss',
  ),
  alpha: lossOption('Weight of divergent rows. Left out: 0.5.', 'FocalLoss'),
  gamma: lossOption('How much rows that are easy count less. Left out: 2.', 'FocalLoss'),
  beta: lossOption('Left out: 1.', 'DPOLoss'),
  positiveProb: lossOption('Left out: 0.5.', 'DPOLoss'),
};

const loss = z
  .object({
    type: z.enum(losses).optional().describe('Left out: BCEWithLogitsLoss, weighted by the number of rows of each class.'),
    posWeight: z.number().min(0.001).max(1_000_000).optional().describe(lossOptions.posWeight.meaning),
    recallFactor: z.number().min(0).max(1000).optional().describe(lossOptions.recallFactor.meaning),
    alpha: z.number().min(0).max(1).optional().describe(lossOptions.alpha.meaning),
    gamma: z.number().min(0).max(100).optional().describe(lossOptions.gamma.meaning),
    beta: z.number().min(0).max(1000).optional().describe(lossOptions.beta.meaning),
    positiveProb: z.number().min(0).max(1).optional().describe(lossOptions.positiveProb.meaning),
  })
  .meta(rules(...Object.entries(lossOptions).map(([field, { rule }]) => rule(field))));

/** How the network is trained. What is left out is taken from `config`, else from the paper. */
export const trainingSchema = z.object({
  network: z.enum(networkClasses).optional().describe("Upstream's class. Left out: HiddenStatesTokenLMHeadLogitsClassifier."),
  hiddenDims: z
    .array(z.int32().min(1).max(65_536))
    .min(1)
    .max(64)
    .optional()
    .describe('Widths of the blocks. Left out: six times 1024, which makes 56 million parameters.'),
  expansionFactor: z.int32().min(1).max(64).optional().describe('How much wider a block is inside. Left out: 4.'),
  dropout: z.number().min(0).max(0.99).optional().describe('Left out: 0.1.'),
  learningRate: z.number().min(0).max(1).optional().describe('Of AdamW (0.9, 0.999). Left out: 0.00005.'),
  weightDecay: z.number().min(0).max(1).optional().describe('Left out: 0.0005.'),
  batchSize: z.int32().min(1).max(16_777_216).optional().describe('Rows of a step, all GPUs together. Left out: 1024.'),
  epochs: z.int32().min(1).max(100_000).optional().describe('At most. Left out: 50.'),
  patience: z.int32().min(1).max(100_000).optional().describe('Epochs without a better validation loss until it stops. Left out: 10.'),
  loss: loss.optional().describe('Left out: binary cross-entropy.'),
  normalizeInput: z
    .boolean()
    .optional()
    .describe('Hidden state and embedding normalised, probabilities instead of logits. Left out: false.'),
  seed: z.int32().min(0).optional().describe('Of weights, order and dropout. Left out: 0.'),
  minRecall: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe(
      'The threshold is the one with the fewest tokens sent to the LLM of those that reach this recall on the test rows. Left out: 0.95.',
    ),
  config: z
    .looseObject({})
    .meta(freeForm)
    .optional()
    .describe("Upstream's training configuration, as its JSON files have it; the fields above win over it. Left out: the paper's values."),
  gpus: z
    .int32()
    .min(0)
    .max(16)
    .optional()
    .describe('GPUs of the training pod, over which batches are split; 0 trains on the CPU. Left out: 1, 0 with preset tiny.'),
  image: image.optional().describe("The trainer's image. Left out: the one of the operator's version."),
});

export type TrainingSpec = z.infer<typeof trainingSchema>;
