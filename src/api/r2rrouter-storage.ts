import { z } from 'zod';
import { rules } from './cel.ts';
import { claimName, secretName } from './endpoint-spec.ts';

/** Of a claim that is made. */
export const volumeSize = z
  .string()
  .min(1)
  .max(32)
  .meta(rules({ rule: 'isQuantity(self)', message: 'size: must be a quantity such as 100Gi' }));

export const accessModes = ['ReadWriteMany', 'ReadWriteOnce'] as const;

const workspace = z
  .object({
    claim: claimName().optional().describe('A PersistentVolumeClaim that exists. Left out: one is made, named <name>-workspace.'),
    size: volumeSize
      .default('200Gi')
      .describe(
        'Of the claim that is made; raise it to have the claim enlarged, where its storage class allows that. The hidden states take most: 2 to 5 KB for each token of the answers.',
      ),
    storageClassName: z.string().min(1).max(253).optional().describe("Of the claim that is made. Left out: the cluster's default."),
    accessMode: z
      .enum(accessModes)
      .default('ReadWriteOnce')
      .describe(
        '`ReadWriteMany`: pods run on any node. `ReadWriteOnce`: all pods that use the workspace run on one node, routers that get their bundles there included.',
      ),
    keep: z
      .int32()
      .min(1)
      .max(50)
      .default(2)
      .describe(
        "Results of each step's earlier parameters or data that are kept, those used last. Older ones are removed after a new bundle has been made, never while in use or when another R2RRouter has used them.",
      ),
    onDelete: z
      .enum(['Retain', 'Delete'])
      .default('Retain')
      .describe(
        'What becomes of the claim that was made when the R2RRouter is deleted. A claim that was given always stays, and the results in it.',
      ),
  })
  .meta(
    rules({
      rule: '!has(self.claim) || !has(self.storageClassName)',
      message: 'storageClassName: is that of a claim that is made; remove it, or remove claim',
    }),
  );

const s3 = z.object({
  bucket: z
    .string()
    .min(3)
    .max(63)
    .meta(
      rules({
        rule: "self.matches('^[a-z0-9][a-z0-9.-]*[a-z0-9]$')",
        message: 'bucket: must be the name of a bucket: lower-case letters, digits, - and .',
      }),
    )
    .describe('The bucket, which must exist.'),
  prefix: z
    .string()
    .min(1)
    .max(512)
    .meta(
      rules({
        rule: "self.matches('^[A-Za-z0-9._@+=-]+(/[A-Za-z0-9._@+=-]+)*$') && !self.matches('(^|/)[.][.]?(/|$)')",
        message: 'prefix: must be a path such as team/routers, without / at its ends and without "." or ".." as a part',
      }),
    )
    .optional()
    .describe('Path in the bucket, before <namespace>/<name>; give clusters that share a bucket different ones. Left out: none.'),
  endpoint: z
    .string()
    .min(1)
    .max(512)
    .meta(
      rules({
        rule: "self.matches('^https?://[A-Za-z0-9.:_\\\\[\\\\]-]+/?$')",
        message: 'endpoint: must be the address of an object store such as https://minio.storage:9000, without user, path or query',
      }),
    )
    .optional()
    .describe("Address of the object store. Left out: Amazon's of the region."),
  region: z
    .string()
    .min(1)
    .max(63)
    .meta(rules({ rule: "self.matches('^[a-z0-9][a-z0-9-]*$')", message: 'region: must be one such as us-east-1' }))
    .optional()
    .describe('Left out: us-east-1.'),
  credentialsSecretName: secretName(
    'credentialsSecretName',
    'Secret with the keys access-key-id, secret-access-key and perhaps session-token (or AWS_ACCESS_KEY_ID and so on). It is mounted in the ' +
      'Job that stores bundles and in the routers of deployments that follow. Left out: what the cloud gives the pod.',
  ).optional(),
  caSecretName: secretName(
    'caSecretName',
    "Secret whose ca.crt the store's certificate is checked against. Left out: the public ones.",
  ).optional(),
});

const bundles = z
  .object({
    claim: claimName()
      .optional()
      .describe('A PersistentVolumeClaim that exists, for many nodes unless all pods run on one. Left out, as s3 is: the workspace.'),
    s3: s3.optional().describe('An S3-compatible object store.'),
    keep: z
      .int32()
      .min(1)
      .max(50)
      .default(5)
      .describe('Bundles in the history, to which one can go back. Older ones are taken away unless a deployment uses them.'),
  })
  .meta(
    rules({
      rule: '!has(self.claim) || !has(self.s3)',
      message: 'claim: bundles are stored in one place; remove claim, or remove s3',
    }),
  );

/** Where intermediate results and bundles are kept. */
export const storageSchema = z.object({
  workspace: workspace.prefault({}).describe('Volume with the results of the steps.'),
  bundles: bundles.prefault({}).describe('Where routers get bundles from.'),
});

export type StorageSpec = z.infer<typeof storageSchema>;
