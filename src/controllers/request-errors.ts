import { reasons } from '../api/conditions.ts';
import type { RouterStatus } from '../api/router-status.ts';
import type { Problem } from './pod-problem.ts';

/** From what share of the last minute's requests on, and from how many failed ones on, people are told. One failure in a quiet minute is not news. */
export const errorAlarm = { share: 0.05, failed: 5 } as const;

/** Many requests ended with an error of ours, all routers together; undefined when not, or when all are too old to count. */
export function requestErrors(routers: readonly RouterStatus[]): Problem | undefined {
  const counts = routers.flatMap(({ window }) => window.requests ?? []);
  const total = counts.reduce((sum, each) => sum + each.total, 0);
  const failed = counts.reduce((sum, each) => sum + each.failed, 0);
  if (failed < errorAlarm.failed || failed < errorAlarm.share * total) return undefined;
  const message = `${failed} of ${total} requests of the last minute ended with an error of the router or the models; the routers' logs say why`;
  return { reason: reasons.routerErrors, message };
}
