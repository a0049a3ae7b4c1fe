import { z } from 'zod';
import { rules } from './cel.ts';
import { checkpointUri } from './checkpoint-uri.ts';
import { dataPath, inImage, onClaim } from './r2rrouter-dataset.ts';
import { pipelineSchema } from './r2rrouter-pipeline.ts';
import { secretKeyRef } from './r2rrouter-secret.ts';

const checkpoint = z
  .object({
    uri: checkpointUri.describe('Address of the checkpoint, as in an R2RDeployment; a bundle is made of it.'),
    tokenSecretRef: secretKeyRef.optional().describe('Access token for an hf:// address that is private or gated.'),
  })
  .meta(
    rules({
      rule: "!has(self.tokenSecretRef) || self.uri.startsWith('hf://')",
      message: 'tokenSecretRef: applies only to an hf:// address; remove it, or load the checkpoint from there',
    }),
  );

const labels = z.object({
  path: dataPath(
    [onClaim, inImage],
    "path: must be pvc://<claim>/<path> or an absolute path in the trainer's image; put the label set on a PersistentVolumeClaim",
  ).describe(
    "A folder with a label set in upstream's columns, as parquet or as `datasets` saves it: `pvc://<claim>/<path>`, or an absolute path in the trainer's image.",
  ),
  generation: z.int32().min(0).default(0).describe('Raise it to train again although the address is the same.'),
});

export const sourceSchema = z
  .object({
    checkpoint: checkpoint.optional().describe('A published checkpoint; nothing is trained.'),
    labels: labels.optional().describe('A label set; a router is trained on it.'),
    pipeline: pipelineSchema.optional().describe('Data sets; they are labelled, and a router is trained on that.'),
  })
  .meta(
    rules({
      rule: '[has(self.checkpoint), has(self.labels), has(self.pipeline)].filter(each, each).size() == 1',
      message: 'source: give exactly one of checkpoint, labels and pipeline',
    }),
  );

export type SourceSpec = z.infer<typeof sourceSchema>;
