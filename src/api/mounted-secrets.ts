import { secretFolders } from './names.ts';
import type { R2RDeploymentSpec } from './r2rdeployment.ts';

/** A Secret of the spec and the folder of the router's container that it is mounted at. */
export interface MountedSecret {
  readonly name: string;
  readonly folder: string;
}

export function mountedSecrets({ api, router }: R2RDeploymentSpec): readonly MountedSecret[] {
  const token = router.checkpoint?.tokenSecretRef;
  const { credentialsSecretName: credentials, caSecretName: authorities } = router.offer?.s3 ?? {};
  return [
    ...(api.auth ? [{ name: api.auth.secretName, folder: secretFolders.apiKeys }] : []),
    ...(api.tls ? [{ name: api.tls.secretName, folder: secretFolders.tls }] : []),
    ...(token ? [{ name: token.name, folder: secretFolders.hubToken }] : []),
    ...(credentials === undefined ? [] : [{ name: credentials, folder: secretFolders.s3Credentials }]),
    ...(authorities === undefined ? [] : [{ name: authorities, folder: secretFolders.s3Authorities }]),
  ];
}

/** A router speaks of paths; this adds the names of the Secrets behind them, which is what a person can mend. */
export function namingSecrets(message: string, secrets: readonly MountedSecret[]): string {
  const named = secrets.filter(({ folder }) => mentions(message, folder)).map(({ folder, name }) => `${folder} is Secret ${name}`);
  return named.length > 0 ? `${message} (${named.join(', ')})` : message;
}

/** One folder's name may begin another's. */
function mentions(message: string, folder: string): boolean {
  return message
    .split(folder)
    .slice(1)
    .some((rest) => !/^[\w-]/.test(rest));
}
