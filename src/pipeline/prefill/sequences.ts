import type { PrefillParams } from '../params.ts';
import type { PartPlan, StepWork } from '../step.ts';
import { responsesTable } from '../tables.ts';
import { oncePerRun } from '../once-per-run.ts';

/** A finished response's length, its prompt included. */
export interface SequenceLength {
  readonly dataId: number;
  readonly id: string;
  readonly tokens: number;
}

/** All finished responses, in order. */
export const sequencesOf = oncePerRun(async ({ inputs }: StepWork<PrefillParams>): Promise<readonly SequenceLength[]> => {
  const lengths: SequenceLength[] = [];
  const columns = ['data_id', 'id', 'input_ids', 'output_tokens'] as const;
  for await (const row of inputs.of('respond').rows('finished', responsesTable, { columns }))
    lengths.push({ dataId: row.data_id, id: row.id, tokens: row.input_ids.length + row.output_tokens });
  return lengths;
});

/** A part for each: nothing but the responses under way is lost when the process ends. */
export function planPrefill(sequences: readonly SequenceLength[]): readonly PartPlan[] {
  return sequences.map(({ dataId }) => ({
    name: `part-${String(dataId).padStart(5, '0')}`,
    firstQuestion: dataId,
    questions: 1,
    tables: ['rows'],
  }));
}

/** Tokens that the SLM reads of a sequence: all but the last, behind which nothing is predicted. None when it is too long. */
export function tokensToRead({ tokens }: Pick<SequenceLength, 'tokens'>, { maxInputLength }: PrefillParams): number {
  return tokens > maxInputLength ? 0 : Math.max(0, tokens - 1);
}
