import { labelKeys } from '../api/names.ts';
import { group } from '../api/r2rdeployment.ts';
import type { KubeObject } from '../manifests/index.ts';

/** On the pods of the routers: the uid of the ServiceAccount whose token they hold. */
export const accountAnnotation = `${group}/service-account-uid`;

/**
 * Ties the routers' pods to their ServiceAccount. A token dies with its account, also when an account of the same name is made again, and
 * the kubelet renews it only much later; with the account's uid in the template, a new account replaces the pods, one after the other.
 * Everything but the SLM Deployment is returned as it is.
 */
export function tiedToAccount(manifest: KubeObject, accountUid: string | undefined): KubeObject {
  const { kind, metadata, spec } = manifest;
  const isRouters = kind === 'Deployment' && isRecord(metadata.labels) && metadata.labels[labelKeys.component] === 'slm';
  if (!isRouters || accountUid === undefined || !isRecord(spec) || !isRecord(spec.template) || !isRecord(spec.template.metadata))
    return manifest;
  const { template } = spec;
  const templateMetadata = spec.template.metadata;
  const annotations = { ...(isRecord(templateMetadata.annotations) && templateMetadata.annotations), [accountAnnotation]: accountUid };
  return { ...manifest, spec: { ...spec, template: { ...template, metadata: { ...templateMetadata, annotations } } } };
}

function isRecord<T>(value: T): value is Extract<T, Readonly<Record<string, unknown>>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
