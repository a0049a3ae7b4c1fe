import { claimOf } from './claim.ts';
import type { RouterSpec } from './router-spec.ts';

/** How pods reach an object store; Secrets by name, in the namespace of the pods. */
export interface ObjectStoreAccess {
  readonly endpoint?: string | undefined;
  readonly region?: string | undefined;
  readonly credentialsSecretName?: string | undefined;
  readonly caSecretName?: string | undefined;
}

/** What the R2RRouter that `checkpoint.routerRef` names offers, as far as this deployment's pods and configuration depend on it. */
export interface RouterOffer {
  /** The bundle that this deployment is to use now. Absent: none yet. */
  readonly uri?: string;
  /** The claim bundles lie on. Pods mount it from the start, so that the first bundle needs no new ones. */
  readonly claim?: string;
  /** That claim is for one node, the one that the R2RRouter's Jobs run on. */
  readonly onOneNode: boolean;
  readonly s3?: ObjectStoreAccess;
}

/** Where the routers get their network: the address that the user wrote, or the one that an R2RRouter assigned. */
export function networkUri(router: RouterSpec): string | undefined {
  return followed(router) ? router.offer?.uri : router.checkpoint?.uri;
}

/** The claim that the routers' network lies on, or will lie on. */
export function networkClaim(router: RouterSpec): string | undefined {
  if (followed(router)) return router.offer?.claim;
  return router.checkpoint?.uri === undefined ? undefined : claimOf(router.checkpoint.uri);
}

/** A reference must have been looked up before anything is rendered: without the volume of its bundles the pods would be other ones. */
function followed({ checkpoint, offer }: RouterSpec): boolean {
  if (!checkpoint?.routerRef) return false;
  if (!offer) throw new TypeError(`R2RRouter ${checkpoint.routerRef.name} of spec.router.checkpoint.routerRef has not been looked up`);
  return true;
}
