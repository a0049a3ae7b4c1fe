import { labelKeys } from '../../api/names.ts';
import { isReady, podProblem } from '../../controllers/pod-problem.ts';
import type { Live } from '../../kube/index.ts';
import type { Pod } from '../../kube/resources.ts';

type ContainerStatus = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];

/** A pod as people look at it. */
export interface PodView {
  readonly name: string;
  readonly component: string | undefined;
  readonly revision: string | undefined;
  readonly node: string | undefined;
  /** Ready and all containers, native sidecars among them. */
  readonly ready: number;
  readonly containers: number;
  /** As `kubectl get pods` has it: Running, CrashLoopBackOff, Init:0/1, Terminating. */
  readonly status: string;
  readonly restarts: number;
  readonly createdAt: string | undefined;
  /** Why it is not ready, or why a container was started anew, in the pod's own words. */
  readonly message: string | undefined;
}

/** A restart is told of for this long. */
const recentMs = 24 * 3_600_000;

export function podView(pod: Live<Pod>, now: Date): PodView {
  const { metadata, spec, status } = pod;
  const sidecars = new Set((spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always').map(({ name }) => name));
  const initStatuses = status?.initContainerStatuses ?? [];
  const statuses = [...initStatuses.filter(({ name }) => sidecars.has(name)), ...(status?.containerStatuses ?? [])];
  const everyStatus = [...initStatuses, ...(status?.containerStatuses ?? [])];
  return {
    name: metadata.name,
    component: metadata.labels?.[labelKeys.component],
    revision: metadata.labels?.[labelKeys.revision],
    node: spec?.nodeName,
    ready: statuses.filter(({ ready }) => ready).length,
    containers: (spec?.containers ?? []).length + sidecars.size,
    status: statusOf(pod, sidecars),
    restarts: everyStatus.reduce((sum, { restartCount }) => sum + restartCount, 0),
    createdAt: metadata.creationTimestamp,
    message: messageOf(pod, everyStatus, now),
  };
}

/** As kubectl's own column, with the names of native sidecars left out. */
function statusOf({ metadata, spec, status }: Live<Pod>, sidecars: ReadonlySet<string>): string {
  const phase = status?.reason ?? status?.phase ?? 'Unknown';
  if (metadata.deletionTimestamp) return status?.reason === 'NodeLost' ? 'Unknown' : 'Terminating';
  const initStatuses = status?.initContainerStatuses ?? [];
  const initCount = (spec?.initContainers ?? []).length;
  for (const [index, each] of initStatuses.entries()) {
    const started = sidecars.has(each.name) ? each.started === true : each.state?.terminated?.exitCode === 0;
    if (started) continue;
    const why = reasonOf(each);
    return why === undefined || why === 'PodInitializing' ? `Init:${index}/${initCount}` : `Init:${why}`;
  }
  const reasons = [...(status?.containerStatuses ?? [])].reverse().flatMap((each) => reasonOf(each) ?? []);
  // a container that has ended well while another runs is no reason
  const telling = reasons.find((reason) => reason !== 'Completed') ?? reasons[0];
  const running = (status?.containerStatuses ?? []).some(({ state, ready }) => state?.running && ready);
  return telling === undefined || (telling === 'Completed' && running) ? phase : telling;
}

function reasonOf({ state }: ContainerStatus): string | undefined {
  if (state?.waiting) return state.waiting.reason ?? 'Waiting';
  if (!state?.terminated) return undefined;
  const { reason, signal, exitCode } = state.terminated;
  return reason || (signal ? `Signal:${signal}` : `ExitCode:${exitCode}`);
}

function messageOf(pod: Live<Pod>, statuses: readonly ContainerStatus[], now: Date): string | undefined {
  const names = statuses.map(({ name }) => name);
  const problem = podProblem([pod], names);
  if (problem) return problem.message;
  if (pod.status?.message) return pod.status.message;
  for (const { name, lastState } of statuses) {
    const ended = lastState?.terminated;
    if (ended && now.getTime() - Date.parse(ended.finishedAt ?? '') < recentMs)
      return `container ${name} was started anew: it had ended with ${ended.reason ?? ''} (exit code ${ended.exitCode})`.replace('  ', ' ');
  }
  const unready = pod.status?.conditions?.find(({ type, status }) => type === 'ContainersReady' && status === 'False');
  return isReady(pod) ? undefined : unready?.message;
}
