import { PipelineError } from '../errors.ts';
import { shapeMetadataSchema } from '../prefill-shape.ts';
import type { StepReader } from '../step.ts';
import { prefillTable } from '../tables.ts';
import type { Prediction } from './mismatches.ts';

/** What the SLM says of each position of some questions; the vectors are left on the disk. @throws PipelineError `PIPELINE_PARQUET` */
export async function* predictionsOf(
  prefill: StepReader,
  range: { readonly from: number; readonly to: number },
): AsyncGenerator<Prediction & { readonly data_id: number }> {
  if (prefill.manifest.parts.length === 0) return;
  const metadata = shapeMetadataSchema.safeParse(await prefill.metadata('rows'));
  if (!metadata.success)
    throw new PipelineError('PIPELINE_PARQUET', 'the files of step prefill do not say what their vectors are', 'run step prefill again', {
      step: 'prefill',
      cause: metadata.error,
    });
  const schema = prefillTable(metadata.data);
  const columns = ['data_id', 'token_id', 'token_type', 'next_token', 'slm_token'] as const;
  yield* prefill.rows('rows', schema, { ...range, columns });
}
