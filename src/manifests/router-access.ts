import type { Chart } from 'cdk8s';
import { k8s } from 'cdk8s-plus-27';
import { revisionNames } from '../api/names.ts';

/**
 * The routers' identity and all it may do: read its own ConfigMap and watch the EndpointSlices of its namespace.
 *
 * @param llmPods - whether there are any to be found; with placement Colocated there are not
 */
export function addRouterAccess(chart: Chart, instance: string, revision: string, llmPods: boolean): void {
  const name = revisionNames(instance, revision).router;
  new k8s.KubeServiceAccount(chart, 'router-account', { metadata: { name }, automountServiceAccountToken: false });
  new k8s.KubeRole(chart, 'router-role', {
    metadata: { name },
    rules: [
      { apiGroups: [''], resources: ['configmaps'], resourceNames: [name], verbs: ['get', 'list', 'watch'] },
      ...(llmPods ? [{ apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] }] : []),
    ],
  });
  new k8s.KubeRoleBinding(chart, 'router-binding', {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace: chart.namespace }],
  });
}
