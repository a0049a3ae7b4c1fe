/**
 * Why a command that looks at an R2RRouter in a cluster is refused.
 * - `CLUSTER_CONFIG`: the kubeconfig or the context is not there
 * - `CLUSTER_AWAY`: the API server does not answer
 * - `CLUSTER_FORBIDDEN`: it does not let this user do it, or does not know who it is
 * - `CLUSTER_REFUSED`: it refuses for another reason, which is in the message
 * - `CLUSTER_CRD_MISSING`: it does not know R2RRouters
 * - `ROUTER_NOT_FOUND`: there is no R2RRouter of this name
 * - `ROUTER_BUNDLE_UNKNOWN`: no bundle in status.history has this digest
 * - `ROUTER_BUNDLE_AMBIGUOUS`: several have a digest that begins like this
 * - `ROUTER_NOTHING_BEFORE`: there is no earlier bundle that passed the gate
 * - `ROUTER_POLICY_MANUAL`: spec.rollout.policy is Manual, which needs a bundle to be named
 */
export type RouterCommandErrorCode =
  | 'CLUSTER_CONFIG'
  | 'CLUSTER_AWAY'
  | 'CLUSTER_FORBIDDEN'
  | 'CLUSTER_REFUSED'
  | 'CLUSTER_CRD_MISSING'
  | 'ROUTER_NOT_FOUND'
  | 'ROUTER_BUNDLE_UNKNOWN'
  | 'ROUTER_BUNDLE_AMBIGUOUS'
  | 'ROUTER_NOTHING_BEFORE'
  | 'ROUTER_POLICY_MANUAL';

/** Ends a command with 1. The message names the object, what is wrong and what to do about it. */
export class RouterCommandError extends Error {
  override readonly name = 'RouterCommandError';
  readonly code: RouterCommandErrorCode;

  constructor(code: RouterCommandErrorCode, problem: string, fix: string, options?: ErrorOptions) {
    super(`${problem}; ${fix}`, options);
    this.code = code;
  }
}
