/** What a deployment takes from the R2RRouter that `spec.router.checkpoint.routerRef` names. Pure. */
import { claimOf } from '../api/claim.ts';
import { reasons } from '../api/conditions.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import type { R2RRouter } from '../api/r2rrouter.ts';
import type { RouterOffer } from '../api/router-offer.ts';
import type { RouterSpec } from '../api/router-spec.ts';
import { defaultStrategy, neuralStrategies, strategyTraits } from '../api/strategies.ts';
import { keyString } from '../kube/index.ts';
import { bundleStoreUri, workspaceClaim } from '../manifests/index.ts';
import type { Problem } from './pod-problem.ts';

/** A deployment that can be rendered, or why it cannot: then its children stay as they are. */
export type Resolution<T extends R2RDeployment> =
  { readonly deployment: T; readonly awaitedBundle?: Problem; readonly problem?: undefined } | { readonly problem: Problem };

/** Key of the R2RRouter that a deployment follows; undefined for one that follows none. */
export function followedRouter({ metadata: { namespace }, spec }: R2RDeployment): string | undefined {
  const name = spec.router.checkpoint?.routerRef?.name;
  return name === undefined ? undefined : keyString({ namespace, name });
}

/** What a followed R2RRouter says that deployments depend on; the rest of its status changes all the time. */
export function offersOf({ metadata, spec, status }: R2RRouter): unknown {
  return {
    uid: metadata.uid,
    storage: spec.storage,
    assigned: status?.deployments?.map(({ name, digest }) => [name, digest]),
    bundles: status?.history?.map(({ digest, uri }) => [digest, uri]),
  };
}

/**
 * The deployment with its `offer` filled in. Where no bundle is assigned yet, what is set for a network is left out, so that the routers
 * serve without one; all that their pods need is there already, so that the first bundle changes the configuration alone.
 *
 * @param router - the one that is referred to; undefined when it does not exist. Not looked at where none is referred to
 */
export function withOffer<T extends R2RDeployment>(deployment: T, router: R2RRouter | undefined): Resolution<T> {
  const reference = deployment.spec.router.checkpoint?.routerRef;
  if (!reference) return { deployment };
  const { name, namespace = 'default' } = deployment.metadata;
  if (!router) {
    const message =
      `spec.router.checkpoint.routerRef.name: there is no R2RRouter ${reference.name} in namespace ${namespace}; ` +
      'create it, or name another one; running pods stay as they are';
    return { problem: { reason: reasons.routerNotFound, message } };
  }
  const digest = router.status?.deployments?.find((each) => each.name === name)?.digest;
  const uri = digest === undefined ? keptUri(deployment, router) : router.status?.history?.find((each) => each.digest === digest)?.uri;
  if (digest !== undefined && uri === undefined) {
    const message =
      `R2RRouter ${reference.name} assigns bundle ${digest}, but its status.history does not say where that is; ` +
      'have it make the bundle again, or follow another R2RRouter; running pods stay as they are';
    return { problem: { reason: reasons.bundleNotFound, message } };
  }
  const routing = { ...deployment.spec.router, offer: offerOf(router, uri) };
  if (uri !== undefined) return { deployment: replaceRouter(deployment, routing) };
  const bare = withoutNetwork(routing);
  const strategy = bare.strategy ?? defaultStrategy(false);
  const message = `R2RRouter ${reference.name} offers no bundle yet; tokens are routed by ${strategy} until then`;
  return { deployment: replaceRouter(deployment, bare), awaitedBundle: { reason: reasons.noBundleYet, message } };
}

/**
 * An R2RRouter that was deleted and made again knows of no bundle yet. What is in force stays until it assigns one, as long as it lies where
 * this R2RRouter's bundles do, and was not what the deployment went back from.
 */
function keptUri({ metadata, status }: R2RDeployment, router: R2RRouter): string | undefined {
  const { digest, uri } = status?.router?.bundle ?? {};
  const refused = router.status?.deployments?.find(({ name }) => name === metadata.name)?.refused;
  return uri?.startsWith(`${bundleStoreUri(router)}/bundles/`) && digest !== refused ? uri : undefined;
}

/** Bundles made before the R2RRouter got another store stay where they are; then the assigned one's claim counts. */
function offerOf(router: R2RRouter, uri: string | undefined): RouterOffer {
  const { bundles, workspace } = router.spec.storage;
  const scratch = workspaceClaim(router);
  const claim = (uri === undefined ? undefined : claimOf(uri)) ?? (bundles.s3 ? undefined : (bundles.claim ?? scratch));
  const { endpoint, region, credentialsSecretName, caSecretName } = bundles.s3 ?? {};
  return {
    ...(uri !== undefined && { uri }),
    ...(claim !== undefined && { claim }),
    onOneNode: claim === scratch && workspace.accessMode === 'ReadWriteOnce',
    ...(bundles.s3 && { s3: { endpoint, region, credentialsSecretName, caSecretName } }),
  };
}

/** A strategy that needs no network stays, with what is set for it; else it is entropy at its default. */
function withoutNetwork(router: RouterSpec): RouterSpec {
  const { strategy, overrides, threshold: _, strategyOptions: __, ...rest } = router;
  const allowed = overrides?.strategies?.filter((each) => strategyTraits[each].threshold !== 'probability');
  const strategies = allowed && { strategies: allowed };
  if (strategy !== undefined && !neuralStrategies.includes(strategy)) {
    return { ...router, ...(overrides && { overrides: { ...overrides, ...strategies } }) };
  }
  // Bounds of a threshold are in the unit of the strategy that waits.
  return { ...rest, strategy: defaultStrategy(false), ...(strategies && { overrides: strategies }) };
}

function replaceRouter<T extends R2RDeployment>(deployment: T, router: RouterSpec): T {
  return { ...deployment, spec: { ...deployment.spec, router } };
}
