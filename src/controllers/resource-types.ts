import { group, kind, plural, version } from '../api/r2rdeployment.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { routerKind, routerPlural } from '../api/r2rrouter.ts';
import type { R2RRouter } from '../api/r2rrouter.ts';
import { resourceType } from '../kube/index.ts';

export const r2rDeployments = resourceType<R2RDeployment>({ group, version, plural, kind, namespaced: true });
export const r2rRouters = resourceType<R2RRouter>({ group, version, plural: routerPlural, kind: routerKind, namespaced: true });
