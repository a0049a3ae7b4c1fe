/** What the routers of a revision say of their router network, put together. */
import { reasons } from '../api/conditions.ts';
import type { ConditionInput } from '../api/conditions.ts';
import { alarmReasons } from '../api/router-status.ts';
import type { BundleStatus, RouterStatus } from '../api/router-status.ts';
import type { Problem } from './pod-problem.ts';

/** Why the wanted network does not score at every router yet; undefined when it does, or none is wanted. */
export function networkProblem(routers: readonly RouterStatus[]): Problem | undefined {
  const inState = (state: BundleStatus['state']): BundleStatus[] =>
    routers.flatMap(({ bundle }) => (bundle?.state === state ? [bundle] : []));
  const refused = inState('Refused');
  const loading = inState('Loading');
  const tell = (list: readonly BundleStatus[], what: string): string => {
    const why = list.find(({ message }) => message)?.message;
    const before = list.some(({ digest }) => digest !== undefined) ? '; the network before goes on scoring' : '';
    return `${list.length} of ${routers.length} routers ${what}${why ? `: ${why}` : ''}${before}`;
  };
  if (refused.length > 0) return { reason: reasons.bundleRefused, message: tell(refused, 'refuse the wanted router network') };
  if (loading.length > 0) return { reason: reasons.bundleLoading, message: tell(loading, 'are loading the wanted router network') };
  return undefined;
}

/** The bundle that every router scores with; undefined while they differ or one has none. */
export function commonBundle(routers: readonly RouterStatus[]): { digest: string; precision?: string } | undefined {
  const [first, ...others] = routers.map(({ bundle }) => bundle);
  if (first?.digest === undefined) return undefined;
  const agreed = others.every((each) => each?.digest === first.digest && each?.precision === first.precision);
  return agreed ? { digest: first.digest, ...(first.precision !== undefined && { precision: first.precision }) } : undefined;
}

/** The first alarm of a router that is not about speed; it answers, but people should look at it. */
export function routerAlarm(routers: readonly RouterStatus[]): Problem | undefined {
  return routers.flatMap(({ alarms }) => alarms).find(({ reason }) => reason !== alarmReasons.slowerThanLLM);
}

/** Whether routing is worth it. Undefined when no router answers: then what was known before stays. */
export function routingBeneficial(routers: readonly RouterStatus[]): ConditionInput | undefined {
  if (routers.length === 0) return undefined;
  const type = 'RoutingBeneficial';
  const slower = routers.flatMap(({ alarms }) => alarms.filter(({ reason }) => reason === alarmReasons.slowerThanLLM));
  const [first] = slower;
  if (!first) return { type, status: 'True', reason: reasons.noProblem, message: 'no router finds that the LLM alone would be faster' };
  return { type, status: 'False', reason: first.reason, message: `${slower.length} of ${routers.length} routers: ${first.message}` };
}
