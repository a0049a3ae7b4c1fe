import { findCondition } from '../../api/conditions.ts';
import type { R2RRouter } from '../../api/r2rrouter.ts';
import type { Live } from '../../kube/index.ts';
import { followersOf } from '../caches.ts';
import type { Caches } from '../caches.ts';
import type { Follower } from './rollout.ts';

/** The deployments that take their bundles from this router, as they are now. */
export function followersNow(caches: Caches, router: Live<R2RRouter>): readonly Follower[] {
  return followersOf(caches, router)
    .flatMap((key) => caches.r2r.get(key) ?? [])
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
    .map(({ metadata: { name }, status }) => ({
      name,
      inForce: status?.router?.bundle?.digest,
      routers: findCondition(status?.conditions, 'RouterReady'),
    }));
}
