import type { Chart } from 'cdk8s';
import { revisionNames } from '../api/names.ts';
import { addBuiltIn } from './built-in-objects.ts';

/**
 * The routers' identity and all it may do: read its own ConfigMap and watch the EndpointSlices of its namespace.
 *
 * @param llmPods - whether there are any to be found; with placement Colocated there are not
 */
export function addRouterAccess(chart: Chart, instance: string, revision: string, llmPods: boolean): void {
  const name = revisionNames(instance, revision).router;
  addBuiltIn(chart, 'router-account', 'ServiceAccount', { metadata: { name }, automountServiceAccountToken: false });
  addBuiltIn(chart, 'router-role', 'Role', {
    metadata: { name },
    rules: [
      { apiGroups: [''], resources: ['configmaps'], resourceNames: [name], verbs: ['get', 'list', 'watch'] },
      ...(llmPods ? [{ apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] }] : []),
    ],
  });
  addBuiltIn(chart, 'router-binding', 'RoleBinding', {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace: chart.namespace }],
  });
}
