import { PipelineError } from '../errors.ts';
import { shapeMetadataSchema } from '../prefill-shape.ts';
import type { LabelRow, PrefillRow, PrefillShape } from '../tables.ts';
import { unpackIntegers, unpackVector } from '../vectors.ts';
import type { Writer } from '../writer.ts';
import { inconsistent, type Verdicts } from './join.ts';

/** What a row of the label set is: whether the SLM says the same as the LLM, and if not, whether it matters. */
export type LabelClass = 'identical' | 'neutral' | 'divergent' | 'unknown';

/**
 * The label of a position: features are those of the row that predicted the token behind it, `real_token` is the token at the position itself.
 *
 * Where the SLM wrote the text, the token behind is its own. One that it does not say again when it reads its text (two were all but equal) is
 * not trained on: nobody has asked the LLM about the other.
 *
 * @throws PipelineError when there is a verdict on a token about which there can be none
 */
export function labelRow(row: PrefillRow, verdicts: Verdicts, { hiddenType }: PrefillShape, writer: Writer): LabelRow {
  const verdict = verdicts.get(row.token_id);
  const isTexts = row.slm_token === row.next_token;
  if (verdict !== undefined && isTexts !== (writer === 'slm')) {
    const problem = writer === 'slm' ? 'does not say what it wrote' : 'says the same as the LLM';
    throw inconsistent(`there is a verdict on token ${row.token_id + 1} of question ${row.data_id}, where the SLM ${problem}`);
  }
  return {
    token_id: row.token_id,
    data_id: row.data_id,
    divergent: verdict ?? 0,
    small_token: row.slm_token,
    real_token: row.real_token,
    small_logits: unpackVector(row.top_logits, 'float32'),
    small_indices: unpackIntegers(row.top_ids),
    small_last_hidden_states: unpackVector(row.hidden, hiddenType),
    mismatch: verdict === undefined ? 0 : 1,
    mask: row.token_type === 0 || (writer === 'slm' && !isTexts) ? 0 : 1,
  };
}

export function classOf({ mismatch, divergent }: Pick<LabelRow, 'mismatch' | 'divergent'>): LabelClass {
  if (mismatch === 0) return 'identical';
  return divergent === 0 ? 'neutral' : divergent === 1 ? 'divergent' : 'unknown';
}

/** How wide the vectors of predictions are, from their file's metadata. @throws PipelineError `PIPELINE_INPUT_MISSING` */
export function shapeOf(metadata: Readonly<Record<string, string>>): PrefillShape {
  const parsed = shapeMetadataSchema.safeParse(metadata);
  if (parsed.success) return parsed.data;
  const field = parsed.error.issues[0]?.path.join('.') ?? '';
  const problem = `the predictions do not say what their ${field} is`;
  throw new PipelineError('PIPELINE_INPUT_MISSING', problem, 'remove the step and run it again', {
    step: 'prefill',
    field,
    cause: parsed.error,
  });
}
