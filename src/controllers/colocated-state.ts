import { blamedEngine } from '../api/engine-plan.ts';
import type { EngineName } from '../api/engine-plan.ts';
import { containers } from '../api/names.ts';
import type { RouterStatus } from '../api/router-status.ts';
import type { Pod } from '../kube/resources.ts';
import { hasReadyEngine, roleState, routerState } from './role-state.ts';
import type { RoleState, RouterState, Workload } from './role-state.ts';

export interface ColocatedRoles {
  readonly slm: RoleState;
  readonly llm: RoleState;
  /** Pods whose SLM takes requests. */
  readonly readyEngines: number;
  /** A router counts when its unit does: without both engines the pod is not among the Service's, though the router may do without its LLM. */
  readonly router: RouterState;
}

/**
 * SLM and LLM of units that have both in one container. That container is ready when both are; until then the unit's router tells them apart, and
 * when one has ended, the launcher's last words do.
 *
 * @param answers - what the routers say, by the address of their pod
 */
export function colocatedRoles(
  wanted: number,
  deployment: Workload | undefined,
  pods: readonly Pod[],
  answers: ReadonlyMap<string, RouterStatus | undefined>,
): ColocatedRoles {
  const unit = roleState(wanted, deployment, pods.map(notStarted));
  const ready = (says: (router: RouterStatus) => boolean): number =>
    pods.filter((pod) => {
      const answer = answers.get(pod.status?.podIP ?? '');
      return !pod.metadata?.deletionTimestamp && (hasReadyEngine(pod) || (answer !== undefined && says(answer)));
    }).length;
  const blamed = unit.problem && blamedEngine(unit.problem.message);
  const role = (name: EngineName, count: number): RoleState => ({
    ...unit,
    ready: count,
    problem: blamed === undefined || blamed === name ? unit.problem : undefined,
  });
  const readyEngines = ready(({ slmReady }) => slmReady === true);
  const readyLLMs = ready(({ llmEndpoints }) => llmEndpoints.some((endpoint) => endpoint.ready));
  const router = { ...routerState(wanted, pods), ready: routerState(wanted, pods.filter(hasReadyEngine)).ready };
  return { slm: role('slm', readyEngines), llm: role('llm', readyLLMs), readyEngines, router };
}

/** The container counts as started once its launcher runs. Why it ended before is of interest until both engines are there again. */
function notStarted(pod: Pod): Pod {
  const initContainerStatuses = pod.status?.initContainerStatuses?.map((status) =>
    status.name === containers.engine && !status.ready ? { ...status, started: false } : status,
  );
  return initContainerStatuses ? { ...pod, status: { ...pod.status, initContainerStatuses } } : pod;
}
