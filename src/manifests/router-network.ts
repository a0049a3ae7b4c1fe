import { claimFolder } from '../api/claim.ts';
import { secretFolders } from '../api/names.ts';
import { defaultPrecision } from '../api/router-config.ts';
import { networkClaim } from '../api/router-offer.ts';
import type { ObjectStoreAccess } from '../api/router-offer.ts';
import type { RouterSpec } from '../api/router-spec.ts';
import { gpuResource, quantities } from './container.ts';
import type { JsonObject } from './json.ts';
import type { ModelSource } from './model-source.ts';
import { secretAddition } from './router-addition.ts';
import type { RouterAddition } from './router-addition.ts';

/** Where the router keeps checkpoints it has fetched and bundles it has made of them. */
const cacheFolder = '/var/cache/r2r';

/**
 * Requests of a router without a network, and with one: beside the network's weights, what two blocks of rows need, and a core for it.
 * The published network has 56 million parameters, to which the rows of the SLM's embedding and LM head come.
 */
const requests = {
  none: { cpu: '500m', memory: '512Mi' },
  int8: { cpu: '1', memory: '1Gi' },
  fp32: { cpu: '1', memory: '1536Mi' },
} as const;

/**
 * The folder for bundles, the hub's token, and the object store of the R2RRouter that is followed. The folder is there without a checkpoint too: one that is named later is then loaded
 * without a restart, and strategies that need raw logits keep the rows for them there.
 */
export function networkAdditions({ checkpoint, offer }: RouterSpec): readonly RouterAddition[] {
  const token = checkpoint?.tokenSecretRef;
  return [
    {
      args: ['--bundle-cache', cacheFolder],
      mounts: [{ name: 'bundles', mountPath: cacheFolder }],
      // A checkpoint, its bundle in both precisions, and the same of the one before; pods that fill more are evicted.
      volumes: [{ name: 'bundles', emptyDir: { sizeLimit: '10Gi' } }],
    },
    ...(token
      ? [
          secretAddition('hub-token', secretFolders.hubToken, { secretName: token.name, items: [{ key: token.key, path: 'token' }] }, [
            ...['--hf-token-file', `${secretFolders.hubToken}/token`],
          ]),
        ]
      : []),
    ...(offer?.s3 ? objectStoreAdditions(offer.s3) : []),
  ];
}

function objectStoreAdditions({ endpoint, region, credentialsSecretName, caSecretName }: ObjectStoreAccess): readonly RouterAddition[] {
  const { s3Credentials, s3Authorities } = secretFolders;
  const args = [...(endpoint === undefined ? [] : ['--s3-endpoint', endpoint]), ...(region === undefined ? [] : ['--s3-region', region])];
  return [
    { args, mounts: [], volumes: [] },
    ...(credentialsSecretName === undefined
      ? []
      : [secretAddition('s3-credentials', s3Credentials, { secretName: credentialsSecretName }, ['--s3-credentials', s3Credentials])]),
    ...(caSecretName === undefined
      ? []
      : [secretAddition('s3-authorities', s3Authorities, { secretName: caSecretName }, ['--s3-ca', `${s3Authorities}/ca.crt`])]),
  ];
}

/** The claim that the network lies on, or will lie on, as a volume to mount. */
export function networkSources(router: RouterSpec): readonly ModelSource[] {
  const claim = networkClaim(router);
  return claim === undefined ? [] : [{ path: claimFolder(claim), claim }];
}

/** GPUs of the router's container, also without a checkpoint: strategies that need raw logits recover them on the device. */
export function routerGpuCount({ device }: RouterSpec): number {
  return device === 'cuda' ? 1 : 0;
}

/** What the user wrote, else what the network needs. */
export function routerResources(router: RouterSpec): JsonObject {
  const { checkpoint, device, precision = defaultPrecision(device), resources } = router;
  const gpus = routerGpuCount(router);
  const { requests: wanted, limits } = resources ? quantities(resources) : { requests: requests[checkpoint ? precision : 'none'] };
  return {
    ...(wanted && { requests: wanted }),
    ...((limits ?? gpus > 0) && { limits: { ...(gpus > 0 && { [gpuResource]: String(gpus) }), ...limits } }),
  };
}
