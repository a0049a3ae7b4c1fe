import { ApiObject } from 'cdk8s';
import type { Chart } from 'cdk8s';
import type { k8s } from 'cdk8s-plus-27';

/** Of cdk8s-plus only the types: its classes are 13 MB in the operator's memory, and all they add is the kind. */
interface Fields {
  readonly ConfigMap: k8s.KubeConfigMapProps;
  readonly NetworkPolicy: k8s.KubeNetworkPolicyProps;
  readonly PodDisruptionBudget: k8s.KubePodDisruptionBudgetProps;
  readonly Role: k8s.KubeRoleProps;
  readonly RoleBinding: k8s.KubeRoleBindingProps;
  readonly Service: k8s.KubeServiceProps;
  readonly ServiceAccount: k8s.KubeServiceAccountProps;
}

/** As JSON says it: no class for what is a number or a name, and Kubernetes' own spelling of the one field that cdk8s spells otherwise here. */
type Json<T> = T extends k8s.IntOrString
  ? number | string
  : T extends (infer Item)[]
    ? Json<Item>[]
    : T extends object
      ? { readonly [Field in keyof T as Field extends 'clusterIp' ? 'clusterIP' : Field]: Json<T[Field]> }
      : T;

const apiVersions: Readonly<Record<keyof Fields, string>> = {
  ConfigMap: 'v1',
  NetworkPolicy: 'networking.k8s.io/v1',
  PodDisruptionBudget: 'policy/v1',
  Role: 'rbac.authorization.k8s.io/v1',
  RoleBinding: 'rbac.authorization.k8s.io/v1',
  Service: 'v1',
  ServiceAccount: 'v1',
};

/** Adds an object of a kind that Kubernetes knows to a chart. @param id - within the chart */
export function addBuiltIn<Kind extends keyof Fields>(chart: Chart, id: string, kind: Kind, fields: Json<Fields[Kind]>): void {
  new ApiObject(chart, id, { apiVersion: apiVersions[kind], kind, ...fields });
}
