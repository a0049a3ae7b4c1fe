import { z } from 'zod';
import { PipelineError } from '../errors.ts';
import type { StepReader } from '../step.ts';
import { prefillTable } from '../tables.ts';
import type { Prediction } from './mismatches.ts';

const metadataSchema = z.object({
  'r2r.hidden_type': z.enum(['bfloat16', 'float16', 'float32']),
  'r2r.hidden_size': z.coerce.number().int().positive(),
  'r2r.top_count': z.coerce.number().int().positive(),
});

/** What the SLM says of each position of some questions; the vectors are left on the disk. @throws PipelineError `PIPELINE_PARQUET` */
export async function* predictionsOf(
  prefill: StepReader,
  range: { readonly from: number; readonly to: number },
): AsyncGenerator<Prediction & { readonly data_id: number }> {
  if (prefill.manifest.parts.length === 0) return;
  const metadata = metadataSchema.safeParse(await prefill.metadata('rows'));
  if (!metadata.success)
    throw new PipelineError('PIPELINE_PARQUET', 'the files of step prefill do not say what their vectors are', 'run step prefill again', {
      step: 'prefill',
      cause: metadata.error,
    });
  const schema = prefillTable({
    hiddenType: metadata.data['r2r.hidden_type'],
    hiddenSize: metadata.data['r2r.hidden_size'],
    topCount: metadata.data['r2r.top_count'],
  });
  const columns = ['data_id', 'token_id', 'token_type', 'next_token', 'slm_token'] as const;
  yield* prefill.rows('rows', schema, { ...range, columns });
}
