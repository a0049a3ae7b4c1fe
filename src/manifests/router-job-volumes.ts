import { claimFolder, claimOf } from '../api/claim.ts';
import type { JobName } from '../api/r2rrouter-jobs.ts';
import { jobFolders, workspaceClaimName } from '../api/r2rrouter-names.ts';
import type { SecretKeyRef } from '../api/r2rrouter-secret.ts';
import type { R2RRouter } from '../api/r2rrouter.ts';
import type { JsonObject } from './json.ts';
import { modelSource } from './model-source.ts';
import type { ModelSource } from './model-source.ts';

/** What an optional part of the spec adds to a step's container and pod. */
export interface JobAddition {
  readonly args: readonly string[];
  readonly mounts: readonly JsonObject[];
  readonly volumes: readonly JsonObject[];
}

/** Claim of the workspace: the one that is given, else the one that is made. */
export function workspaceClaim({ metadata, spec }: R2RRouter): string {
  return spec.storage.workspace.claim ?? workspaceClaimName(metadata.name);
}

/** Claims with data that a step reads, besides models. */
export function dataSources({ source }: R2RRouter['spec'], step: JobName): readonly ModelSource[] {
  const address = step === 'train' ? source.labels?.path : step === 'bundle' ? (source.checkpoint?.uri ?? source.labels?.path) : undefined;
  const datasets = step === 'convert' ? (source.pipeline?.datasets ?? []) : [];
  const addresses = [address, ...datasets.map(({ path }) => path)].filter((each) => each !== undefined);
  return addresses.filter((address) => claimOf(address) !== undefined).map(modelSource);
}

/** The hub's token, where a step asks the hub. */
export function hubToken({ source }: R2RRouter['spec'], step: JobName): JobAddition[] {
  const token = step === 'convert' ? source.pipeline?.tokenSecretRef : step === 'bundle' ? source.checkpoint?.tokenSecretRef : undefined;
  return token ? [tokenAddition(token)] : [];
}

/**
 * What routers call the place where bundles are stored: they mount a claim at another folder. It is this router's alone, also where several
 * share a claim or a bucket, because whoever makes a bundle clears old ones away.
 */
export function bundleStoreUri(router: R2RRouter): string {
  const { namespace = 'default', name } = router.metadata;
  const { claim, s3 } = router.spec.storage.bundles;
  if (s3) return `s3://${[s3.bucket, s3.prefix, namespace, name].filter((part) => part !== undefined).join('/')}`;
  return claim === undefined ? `pvc://${workspaceClaim(router)}/store/${name}` : `pvc://${claim}/${name}`;
}

/** The place where bundles are stored, as `--store` of the bundling step and what it needs for it. */
export function bundleStore(router: R2RRouter): JobAddition {
  const { name } = router.metadata;
  const { claim, s3 } = router.spec.storage.bundles;
  const uri = bundleStoreUri(router);
  if (s3) {
    const credentials = s3.credentialsSecretName;
    const authorities = s3.caSecretName;
    const additions = [
      ...(credentials === undefined
        ? []
        : [secretFolder('s3-credentials', jobFolders.s3Credentials, credentials, ['--s3-credentials', jobFolders.s3Credentials])]),
      ...(authorities === undefined
        ? []
        : [secretFolder('s3-authorities', jobFolders.s3Authorities, authorities, ['--s3-ca', `${jobFolders.s3Authorities}/ca.crt`])]),
    ];
    return joined([
      {
        args: [
          ...['--store', uri],
          ...(s3.endpoint === undefined ? [] : ['--s3-endpoint', s3.endpoint]),
          ...(s3.region === undefined ? [] : ['--s3-region', s3.region]),
        ],
        mounts: [],
        volumes: [],
      },
      ...additions,
    ]);
  }
  if (claim === undefined) {
    return {
      args: ['--store', `${jobFolders.workspace}/store/${name}`, '--store-uri', uri],
      mounts: [],
      volumes: [],
    };
  }
  return {
    args: ['--store', `${jobFolders.bundles}/${name}`, '--store-uri', uri],
    mounts: [{ name: 'bundles', mountPath: jobFolders.bundles }],
    volumes: [{ name: 'bundles', persistentVolumeClaim: { claimName: claim } }],
  };
}

/** The claim that the bundle in use lies on, unless it is in the store, which is mounted anyway. */
export function currentSources(router: R2RRouter, current: string): readonly ModelSource[] {
  return claimOf(current) === undefined || current.startsWith(`${bundleStoreUri(router)}/bundles/`) ? [] : [modelSource(current)];
}

/** Where an address of the spec is inside the container. */
export function pathOf(address: string): string {
  const claim = claimOf(address);
  return claim === undefined ? address : claimFolder(claim) + address.slice(`pvc://${claim}`.length);
}

export function joined(additions: readonly JobAddition[]): JobAddition {
  return {
    args: additions.flatMap(({ args }) => args),
    mounts: additions.flatMap(({ mounts }) => mounts),
    volumes: additions.flatMap(({ volumes }) => volumes),
  };
}

function tokenAddition({ name, key }: SecretKeyRef): JobAddition {
  return {
    args: ['--hf-token-file', `${jobFolders.hubToken}/token`],
    mounts: [{ name: 'hub-token', mountPath: jobFolders.hubToken, readOnly: true }],
    volumes: [{ name: 'hub-token', secret: { secretName: name, items: [{ key, path: 'token' }], optional: true } }],
  };
}

/** Optional for the kubelet: a pod that mounts a missing Secret never starts, and a program can say what it waits for. */
function secretFolder(name: string, mountPath: string, secretName: string, args: readonly string[]): JobAddition {
  return { args, mounts: [{ name, mountPath, readOnly: true }], volumes: [{ name, secret: { secretName, optional: true } }] };
}
