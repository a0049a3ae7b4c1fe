import { z } from 'zod';
import { rules } from './cel.ts';
import { claimName } from './endpoint-spec.ts';
import { podTemplate } from './model-server.ts';
import { secretKeyRef } from './r2rrouter-secret.ts';
import { accessModes, volumeSize } from './r2rrouter-storage.ts';

/** Where models of a Hugging Face hub are downloaded to, and how. */
export const modelCacheSchema = z
  .object({
    claim: claimName()
      .optional()
      .describe(
        'A PersistentVolumeClaim that exists; deployments that name the same one share its models. Left out: one is made, named <name>-models.',
      ),
    size: volumeSize
      .default('100Gi')
      .describe(
        'Of the claim that is made; raise it to have the claim enlarged, where its storage class allows that. A model takes two bytes a parameter.',
      ),
    storageClassName: z.string().min(1).max(253).optional().describe("Of the claim that is made. Left out: the cluster's default."),
    accessMode: z
      .enum(accessModes)
      .default('ReadWriteMany')
      .describe(
        '`ReadWriteMany`: pods run on any node. `ReadWriteOnce`: the download and all pods of the deployment run on one node, for volumes that only one can mount. A claim that is there stays as it is.',
      ),
    onDelete: z
      .enum(['Retain', 'Delete'])
      .default('Retain')
      .describe('What becomes of the claim that was made when the R2RDeployment is deleted. A claim that was given always stays.'),
    endpoint: z
      .string()
      .min(1)
      .max(512)
      .meta(
        rules({
          rule: "self.matches('^https?://[A-Za-z0-9.:_\\\\[\\\\]-]+(/[A-Za-z0-9._~/-]*)?$')",
          message: 'endpoint: must be the address of a hub such as https://hf-mirror.example, without user, password or query',
        }),
      )
      .optional()
      .describe('Address of the hub, as HF_ENDPOINT has it. Left out: https://huggingface.co.'),
    tokenSecretRef: secretKeyRef
      .optional()
      .describe(
        "The hub's token, for private and gated models. It is mounted as a file in the download's pods alone. A Secret that is changed counts at the next try.",
      ),
    podTemplate: podTemplate.describe(
      "Overlay on the download's pods: their container is `download`. For a proxy's or authority's variables, resources, or the node that a volume for one node is to be on.",
    ),
  })
  .meta(
    rules(
      {
        rule: '!has(self.claim) || !has(self.storageClassName)',
        message: 'storageClassName: is that of a claim that is made; remove it, or remove claim',
      },
      {
        rule: "!has(self.tokenSecretRef) || !has(self.endpoint) || self.endpoint.startsWith('https://')",
        message:
          'tokenSecretRef: a token is never sent over http://, where everybody could read it; use an https:// endpoint, or remove it',
      },
    ),
  );

export type ModelCacheSpec = z.infer<typeof modelCacheSchema>;

/** Of an R2RDeployment's spec: a model that is downloaded needs a place. */
export const modelCacheRule = {
  rule: "has(self.modelCache) || !(self.slm.model.startsWith('hf://') || self.llm.model.startsWith('hf://'))",
  message:
    'modelCache: hf:// models are downloaded to a volume; set modelCache, such as {claim: weights} or {size: 100Gi}, or put the model folder on a claim and write pvc://<claim>/<path>',
} as const;
