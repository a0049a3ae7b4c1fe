import { App, Chart } from 'cdk8s';
import { isObject } from './json.ts';
import type { JsonObject, KubeObject } from './json.ts';

/**
 * Runs `build` on a cdk8s chart and returns its objects in the order they were added, as plain JSON. Nothing is written to disk.
 * Every object gets `namespace`, `labels` and the owner; names are used as given.
 */
export function synthesize(
  scope: { readonly namespace: string; readonly labels: Readonly<Record<string, string>>; readonly owner: JsonObject },
  build: (chart: Chart) => void,
): readonly KubeObject[] {
  const chart = new Chart(new App(), 'r2r', { namespace: scope.namespace, labels: { ...scope.labels }, disableResourceNameHashes: true });
  build(chart);
  const objects: unknown[] = chart.toJson();
  return objects.map((object) => {
    if (!isKubeObject(object)) throw new TypeError('cdk8s rendered something that is not a namespaced Kubernetes object');
    return { ...object, metadata: { ...object.metadata, ownerReferences: [scope.owner] } };
  });
}

function isKubeObject(value: unknown): value is KubeObject {
  return (
    isObject(value) &&
    typeof value.apiVersion === 'string' &&
    typeof value.kind === 'string' &&
    isObject(value.metadata) &&
    typeof value.metadata.name === 'string' &&
    typeof value.metadata.namespace === 'string'
  );
}
