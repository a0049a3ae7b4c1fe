import type { JsonObject } from '../../../src/manifests/index.ts';
import { deploymentDashboard } from './deployment.ts';
import { operatorDashboard } from './operator.ts';
import { routerDashboard } from './router.ts';

/** Every dashboard, by the name of its file. */
export function dashboards(): Readonly<Record<string, JsonObject>> {
  return { operator: operatorDashboard(), deployment: deploymentDashboard(), router: routerDashboard() };
}
