import type { EndpointSpec } from '../api/endpoint-spec.ts';
import { secretFolders } from '../api/names.ts';
import type { JsonObject } from './json.ts';

/** What an optional part of the spec adds to the router's container and pod. */
export interface RouterAddition {
  readonly args: readonly string[];
  readonly mounts: readonly JsonObject[];
  readonly volumes: readonly JsonObject[];
}

/**
 * How the endpoint is secured and traced. The Secrets are optional for the kubelet: a pod that mounts a missing one never starts, and only
 * its events say why, which the operator does not read. So the router starts in any case, answers nobody, and says what it waits for; a
 * Secret that is made later arrives in the running pod. Keys are never in arguments or variables, where a process list shows them.
 */
export function endpointAdditions({ auth, tls, tracing }: EndpointSpec): readonly RouterAddition[] {
  return [
    ...(auth
      ? [secretAddition('api-keys', secretFolders.apiKeys, { secretName: auth.secretName }, ['--api-keys', secretFolders.apiKeys])]
      : []),
    ...(tls
      ? [
          secretAddition('tls', secretFolders.tls, { secretName: tls.secretName }, [
            ...['--tls-cert', `${secretFolders.tls}/tls.crt`],
            ...['--tls-key', `${secretFolders.tls}/tls.key`],
          ]),
        ]
      : []),
    ...(tracing ? [{ args: ['--otlp-endpoint', tracing.endpoint], mounts: [], volumes: [] }] : []),
  ];
}

/** A Secret as files, with the arguments that name them. */
export function secretAddition(name: string, folder: string, secret: JsonObject, args: readonly string[]): RouterAddition {
  return {
    args,
    mounts: [{ name, mountPath: folder, readOnly: true }],
    volumes: [{ name, secret: { ...secret, optional: true } }],
  };
}
