import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

export const modelsFolder = join(import.meta.dirname, '../../examples/models');
export const modelNames = ['slm', 'llm', 'verifier'] as const;

const problem = z.strictObject({ id: z.string(), question: z.string(), answer: z.string().regex(/^\d\d$/) });
export type Problem = z.infer<typeof problem>;

/** The lines of problems/<file>.jsonl. */
export function problems(file: 'held-out' | 'train'): Problem[] {
  const text = readFileSync(join(modelsFolder, 'problems', `${file}.jsonl`), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => problem.parse(JSON.parse(line)));
}

const share = z.number().min(0).max(1);
const verdicts = z.looseObject({ pairs: z.int(), agreement: share, neutralAgreement: share, divergentAgreement: share });
const routing = z.array(z.strictObject({ threshold: z.number(), accuracy: share, llmShare: share, aboveLine: z.number() }));
const found = z.looseObject({ rows: z.int(), divergent: z.int(), recall: share, positiveRate: share });
const router = z.looseObject({
  class: z.string(),
  parameters: z.int(),
  widths: z.looseObject({ layers: z.array(z.int()) }),
  threshold: share,
  found: z.strictObject({ threshold: found, heldOutWritten: found, heldOutRouted: found }),
  routing,
});
const figuresFile = z.looseObject({
  problems: z.int(),
  tokenizer: z.strictObject({ entries: z.int() }),
  models: z.record(z.enum(modelNames), z.looseObject({ parameters: z.int(), vocabulary: z.int(), hidden: z.int(), layers: z.int() })),
  accuracy: z.looseObject({ slm: share, llm: share }),
  differences: z.strictObject({ identical: z.int(), neutral: z.int(), divergent: z.int() }),
  entropyRouting: routing,
  verifier: z.strictObject({ heldOutPairs: verdicts, modelPairs: verdicts }),
  router,
});
export type Figures = z.infer<typeof figuresFile>;

/** What the training script measured on the published weights. */
export function figures(): Figures {
  return figuresFile.parse(JSON.parse(readFileSync(join(modelsFolder, 'figures.json'), 'utf8')));
}
