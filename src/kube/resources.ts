/** The built-in kinds this project reads or writes. */
import type {
  EventsV1Event,
  V1ConfigMap,
  V1ControllerRevision,
  V1CustomResourceDefinition,
  V1ClusterRole,
  V1ClusterRoleBinding,
  V1Deployment,
  V1EndpointSlice,
  V1Job,
  V1Lease,
  V1Namespace,
  V1NetworkPolicy,
  V1Node,
  V1PersistentVolumeClaim,
  V1Pod,
  V1PodDisruptionBudget,
  V1ReplicaSet,
  V1Role,
  V1RoleBinding,
  V1Secret,
  V1Service,
  V1ServiceAccount,
  V1StatefulSet,
} from '@kubernetes/client-node';
import type { KubeObject, Raw } from './object.ts';
import { resourceType, type ResourceType } from './resource-type.ts';

export type ClusterRole = Raw<V1ClusterRole>;
export type ClusterRoleBinding = Raw<V1ClusterRoleBinding>;
export type ConfigMap = Raw<V1ConfigMap>;
export type ControllerRevision = Raw<V1ControllerRevision>;
export type CustomResourceDefinition = Raw<V1CustomResourceDefinition>;
export type Deployment = Raw<V1Deployment>;
export type EndpointSlice = Raw<V1EndpointSlice>;
export type Event = Raw<EventsV1Event>;
export type Job = Raw<V1Job>;
export type Lease = Raw<V1Lease>;
export type Namespace = Raw<V1Namespace>;
export type NetworkPolicy = Raw<V1NetworkPolicy>;
export type Node = Raw<V1Node>;
export type PersistentVolumeClaim = Raw<V1PersistentVolumeClaim>;
export type Pod = Raw<V1Pod>;
export type PodDisruptionBudget = Raw<V1PodDisruptionBudget>;
export type ReplicaSet = Raw<V1ReplicaSet>;
export type Role = Raw<V1Role>;
export type RoleBinding = Raw<V1RoleBinding>;
export type Secret = Raw<V1Secret>;
export type Service = Raw<V1Service>;
export type ServiceAccount = Raw<V1ServiceAccount>;
export type StatefulSet = Raw<V1StatefulSet>;

const namespaced = <T extends KubeObject>(group: string, plural: string, kind: string): ResourceType<T> =>
  resourceType<T>({ group, version: 'v1', plural, kind, namespaced: true });
const clusterWide = <T extends KubeObject>(group: string, plural: string, kind: string): ResourceType<T> =>
  resourceType<T>({ group, version: 'v1', plural, kind, namespaced: false });

const rbac = 'rbac.authorization.k8s.io';

export const configMaps = namespaced<ConfigMap>('', 'configmaps', 'ConfigMap');
export const namespaces = clusterWide<Namespace>('', 'namespaces', 'Namespace');
export const nodes = clusterWide<Node>('', 'nodes', 'Node');
export const persistentVolumeClaims = namespaced<PersistentVolumeClaim>('', 'persistentvolumeclaims', 'PersistentVolumeClaim');
export const pods = namespaced<Pod>('', 'pods', 'Pod');
export const secrets = namespaced<Secret>('', 'secrets', 'Secret');
export const serviceAccounts = namespaced<ServiceAccount>('', 'serviceaccounts', 'ServiceAccount');
export const services = namespaced<Service>('', 'services', 'Service');

export const controllerRevisions = namespaced<ControllerRevision>('apps', 'controllerrevisions', 'ControllerRevision');
export const deployments = namespaced<Deployment>('apps', 'deployments', 'Deployment');
export const replicaSets = namespaced<ReplicaSet>('apps', 'replicasets', 'ReplicaSet');
export const statefulSets = namespaced<StatefulSet>('apps', 'statefulsets', 'StatefulSet');

export const jobs = namespaced<Job>('batch', 'jobs', 'Job');
export const leases = namespaced<Lease>('coordination.k8s.io', 'leases', 'Lease');
export const endpointSlices = namespaced<EndpointSlice>('discovery.k8s.io', 'endpointslices', 'EndpointSlice');
export const events = namespaced<Event>('events.k8s.io', 'events', 'Event');
export const networkPolicies = namespaced<NetworkPolicy>('networking.k8s.io', 'networkpolicies', 'NetworkPolicy');

export const podDisruptionBudgets = namespaced<PodDisruptionBudget>('policy', 'poddisruptionbudgets', 'PodDisruptionBudget');

export const clusterRoles = clusterWide<ClusterRole>(rbac, 'clusterroles', 'ClusterRole');
export const clusterRoleBindings = clusterWide<ClusterRoleBinding>(rbac, 'clusterrolebindings', 'ClusterRoleBinding');
export const roles = namespaced<Role>(rbac, 'roles', 'Role');
export const roleBindings = namespaced<RoleBinding>(rbac, 'rolebindings', 'RoleBinding');

export const customResourceDefinitions = clusterWide<CustomResourceDefinition>(
  'apiextensions.k8s.io',
  'customresourcedefinitions',
  'CustomResourceDefinition',
);
