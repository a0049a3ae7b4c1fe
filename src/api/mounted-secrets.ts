import { secretFolders } from './names.ts';
import type { R2RDeploymentSpec } from './r2rdeployment.ts';

/** A Secret of the spec and the folder of the router's container that it is mounted at. */
export interface MountedSecret {
  readonly name: string;
  readonly folder: string;
}

export function mountedSecrets({ api, router }: R2RDeploymentSpec): readonly MountedSecret[] {
  const token = router.checkpoint?.tokenSecretRef;
  return [
    ...(api.auth ? [{ name: api.auth.secretName, folder: secretFolders.apiKeys }] : []),
    ...(api.tls ? [{ name: api.tls.secretName, folder: secretFolders.tls }] : []),
    ...(token ? [{ name: token.name, folder: secretFolders.hubToken }] : []),
  ];
}

/** A router speaks of paths; this adds the names of the Secrets behind them, which is what a person can mend. */
export function namingSecrets(message: string, secrets: readonly MountedSecret[]): string {
  const named = secrets.filter(({ folder }) => message.includes(folder)).map(({ folder, name }) => `${folder} is Secret ${name}`);
  return named.length > 0 ? `${message} (${named.join(', ')})` : message;
}
