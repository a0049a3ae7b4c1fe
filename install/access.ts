import type { Chart } from 'cdk8s';
import { k8s } from 'cdk8s-plus-27';
import { group, plural } from '../src/api/r2rdeployment.ts';
import { routerPlural } from '../src/api/r2rrouter.ts';

/** What the operator does to objects it renders: caches (list, watch), server-side apply (create, patch), removal. */
const manage = ['list', 'watch', 'create', 'patch', 'delete'];

/** Every verb the operator uses, and those it may only hold because it grants them to routers. */
const operatorRules: k8s.PolicyRule[] = [
  { apiGroups: [group], resources: [plural, routerPlural], verbs: ['list', 'watch'] },
  { apiGroups: [group], resources: [`${plural}/status`, `${routerPlural}/status`], verbs: ['patch'] },
  // Children carry blockOwnerDeletion; where OwnerReferencesPermissionEnforcement is on, setting it needs this.
  { apiGroups: [group], resources: [`${plural}/finalizers`, `${routerPlural}/finalizers`], verbs: ['update'] },
  // get: the endpoint Service's name may be taken by an object that is not ours, which the cache does not hold.
  { apiGroups: [''], resources: ['services'], verbs: ['get', ...manage] },
  // get: granted to routers, for their own ConfigMap.
  { apiGroups: [''], resources: ['configmaps'], verbs: ['get', ...manage] },
  { apiGroups: [''], resources: ['serviceaccounts'], verbs: manage },
  { apiGroups: ['apps'], resources: ['deployments', 'controllerrevisions'], verbs: manage },
  // Of an LLM that spans nodes; the cluster need not know the kind.
  { apiGroups: ['leaderworkerset.x-k8s.io'], resources: ['leaderworkersets'], verbs: manage },
  { apiGroups: ['rbac.authorization.k8s.io'], resources: ['roles', 'rolebindings'], verbs: manage },
  // get, here and below: names of what routers and downloads of models need may be taken by objects that are not ours, which the caches do not hold.
  { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'], verbs: ['get', ...manage] },
  { apiGroups: ['policy'], resources: ['poddisruptionbudgets'], verbs: manage },
  // Jobs are made once and never changed.
  { apiGroups: ['batch'], resources: ['jobs'], verbs: ['get', 'list', 'watch', 'create', 'delete'] },
  // patch: whether a workspace or a cache of models goes with its resource. Never deleted: the garbage collector does that where the spec says so.
  { apiGroups: [''], resources: ['persistentvolumeclaims'], verbs: ['get', 'list', 'watch', 'create', 'patch'] },
  // patch: which LLM pod goes when the pool shrinks, an annotation.
  { apiGroups: [''], resources: ['pods'], verbs: ['list', 'watch', 'patch'] },
  // Granted to routers; the operator itself does not use it.
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
  { apiGroups: ['events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
];

const rbac = 'rbac.authorization.k8s.io';

/** The operator's service account, its rights in the cluster, and in its own namespace the right to the leader election lease. */
export function addOperatorAccess(chart: Chart, name: string, namespace: string): void {
  const subjects = [{ kind: 'ServiceAccount', name, namespace }];
  new k8s.KubeServiceAccount(chart, 'account', { metadata: { name, namespace } });
  new k8s.KubeClusterRole(chart, 'cluster-role', { metadata: { name }, rules: operatorRules });
  new k8s.KubeClusterRoleBinding(chart, 'cluster-role-binding', {
    metadata: { name },
    roleRef: { apiGroup: rbac, kind: 'ClusterRole', name },
    subjects,
  });
  new k8s.KubeRole(chart, 'role', {
    metadata: { name, namespace },
    rules: [{ apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update'] }],
  });
  new k8s.KubeRoleBinding(chart, 'role-binding', {
    metadata: { name, namespace },
    roleRef: { apiGroup: rbac, kind: 'Role', name },
    subjects,
  });
}

/** Lets people who may view or edit a namespace do the same with its R2RDeployments and R2RRouters: aggregated into view, edit and admin. */
export function addUserRoles(chart: Chart): void {
  const aggregate = (role: string) => ({ [`rbac.authorization.k8s.io/aggregate-to-${role}`]: 'true' });
  new k8s.KubeClusterRole(chart, 'view-role', {
    metadata: { name: 'r2r-view', labels: aggregate('view') },
    rules: [
      {
        apiGroups: [group],
        resources: [plural, `${plural}/status`, `${plural}/scale`, routerPlural, `${routerPlural}/status`],
        verbs: ['get', 'list', 'watch'],
      },
    ],
  });
  new k8s.KubeClusterRole(chart, 'edit-role', {
    metadata: { name: 'r2r-edit', labels: { ...aggregate('edit'), ...aggregate('admin') } },
    rules: [
      { apiGroups: [group], resources: [plural, routerPlural], verbs: ['create', 'update', 'patch', 'delete', 'deletecollection'] },
      { apiGroups: [group], resources: [`${plural}/scale`], verbs: ['update', 'patch'] },
    ],
  });
}
