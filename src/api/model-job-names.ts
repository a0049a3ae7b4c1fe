import { labelKeys, managedBy } from './names.ts';
import { group } from './r2rdeployment.ts';

/** Labels of downloads and of the pods that mount what they bring, beside those every child has. */
export const modelLabelKeys = {
  /** Which model, as a hash of its place: a Job's name has room for the hash's beginning only. */
  model: `${group}/model`,
  /** Pods that use one cache; with a volume for one node they attract each other by it. */
  cache: `${group}/model-cache`,
} as const;

/** Annotations of a download's Job. */
export const modelAnnotationKeys = {
  /** metadata.generation of the R2RDeployment that it was made for. */
  generation: `${group}/generation`,
  /** Digest of what its pods are told; where the spec says otherwise, another Job takes its place. */
  inputs: `${group}/inputs`,
} as const;

/** Value of `app.kubernetes.io/component` on downloads: neither SLM nor LLM, and so selected by no Service. */
export const modelJobComponent = 'model-download';

/** Container of a download's pod, by which a pod overlay addresses it. */
export const modelJobContainer = 'download';

/** Folder of the hub's token in the container. */
export const modelTokenFolder = '/etc/r2r/hub-token';

/** With the longest name of a deployment it stays below the 63 characters that a pod's host name may have. */
export function modelJobName(deployment: string, hash: string): string {
  return `${deployment}-model-${hash.slice(0, 8)}`;
}

/** The claim that is made for models where none is given. */
export function modelsClaimName(deployment: string): string {
  return `${deployment}-models`;
}

/** NetworkPolicy of the pods of downloads. */
export function modelJobsPolicyName(deployment: string): string {
  return `${deployment}-models`;
}

/** Labels that select a deployment's downloads and their pods. */
export function modelJobSelector(deployment: string): Record<string, string> {
  return { [labelKeys.name]: 'r2r', [labelKeys.instance]: deployment, [labelKeys.component]: modelJobComponent };
}

/** Labels of a download's Job and pod. */
export function modelJobLabels(deployment: string, hash: string): Record<string, string> {
  return { ...modelJobSelector(deployment), [labelKeys.managedBy]: managedBy, [modelLabelKeys.model]: hash };
}
