import { stripVTControlCharacters } from 'node:util';
import type { Pod } from '../kube/resources.ts';
import type { Workload } from './role-state.ts';

/** Why a role is not ready: the child's own reason, copied up, with a message a person can act on. */
export interface Problem {
  /** CamelCase, usable as a condition's reason. */
  readonly reason: string;
  readonly message: string;
}

type ContainerStatus = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];

/** Of a process that SIGKILL ended. */
const killedCode = 137;

/** Longest message copied from a container's log into a condition. */
const maxMessageLength = 600;

const imageReasons = new Set(['ErrImagePull', 'ImagePullBackOff', 'ErrImageNeverPull', 'InvalidImageName', 'ImageInspectError']);
const configReasons = new Set(['CreateContainerConfigError', 'CreateContainerError', 'RunContainerError', 'PreCreateHookError']);

/**
 * The most telling problem among a role's pods, or undefined when none shows one (they may still be starting).
 *
 * @param pods - the role's pods, of one revision; those being deleted are ignored
 * @param containers - which containers count (an SLM pod's engine and router belong to different roles)
 */
export function podProblem(pods: readonly Pod[], containers: readonly string[]): Problem | undefined {
  const alive = pods.filter((pod) => !pod.metadata?.deletionTimestamp && !isReady(pod));
  for (const find of [imageProblem, configProblem, crashProblem]) {
    for (const pod of alive) {
      for (const status of statuses(pod, containers)) {
        const problem = find(status);
        if (problem) return problem;
      }
    }
  }
  for (const pod of alive) {
    const problem = schedulingProblem(pod);
    if (problem) return problem;
  }
  return undefined;
}

/** Pods that the API server refuses to create (quota, pod security): only the Deployment knows of them. */
export function creationProblem(workload: Workload | undefined): Problem | undefined {
  const failure = workload?.status?.conditions?.find((condition) => condition.type === 'ReplicaFailure' && condition.status === 'True');
  return failure && { reason: failure.reason ?? 'FailedCreate', message: shorten(failure.message ?? 'pods cannot be created') };
}

export function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some((condition) => condition.type === 'Ready' && condition.status === 'True') ?? false;
}

function statuses(pod: Pod, containers: readonly string[]): ContainerStatus[] {
  const all = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  return all.filter((status) => containers.includes(status.name));
}

function imageProblem(status: ContainerStatus): Problem | undefined {
  const waiting = status.state?.waiting;
  if (!waiting?.reason || !imageReasons.has(waiting.reason)) return undefined;
  // ErrImagePull and ImagePullBackOff alternate; one name keeps the condition from flapping with them
  const reason = waiting.reason === 'ErrImagePull' ? 'ImagePullBackOff' : waiting.reason;
  return {
    reason,
    message: shorten(`container ${status.name}: image ${status.image} cannot be pulled: ${waiting.message ?? waiting.reason}`),
  };
}

function configProblem(status: ContainerStatus): Problem | undefined {
  const waiting = status.state?.waiting;
  if (!waiting?.reason || !configReasons.has(waiting.reason)) return undefined;
  return { reason: waiting.reason, message: shorten(`container ${status.name}: ${waiting.message ?? waiting.reason}`) };
}

function crashProblem(status: ContainerStatus): Problem | undefined {
  // a container that has started since is not ready for another reason than its last crash
  const ended = status.state?.terminated ?? (status.started ? undefined : status.lastState?.terminated);
  if (status.ready || !ended || ended.exitCode === 0) return undefined;
  const said = lastWords(ended.message);
  const why =
    ended.reason === 'OOMKilled'
      ? 'it was killed for memory (OOMKilled)'
      : ended.exitCode === killedCode
        ? // what it happened to say last is no reason
          `it was killed (SIGKILL, exit code ${killedCode})${said && `; its log ends with: ${said}`}`
        : said || `exit code ${ended.exitCode}`;
  const reason = ended.reason === 'OOMKilled' ? 'OOMKilled' : 'CrashLoopBackOff';
  return { reason, message: shorten(`container ${status.name} ended: ${why}`) };
}

function schedulingProblem(pod: Pod): Problem | undefined {
  const scheduled = pod.status?.conditions?.find((condition) => condition.type === 'PodScheduled');
  if (scheduled?.status !== 'False') return undefined;
  const message = scheduled.message ?? 'the pod cannot be scheduled';
  // "no room" and "can never fit" call for different people
  return { reason: /insufficient|too many pods/i.test(message) ? 'InsufficientCapacity' : 'Unschedulable', message: shorten(message) };
}

/** The end of a log is where a program says why it died. */
function lastWords(message: string | undefined): string {
  return stripVTControlCharacters(message ?? '')
    .trim()
    .split('\n')
    .slice(-3)
    .join(' ')
    .trim();
}

function shorten(message: string): string {
  return message.length <= maxMessageLength ? message : `${message.slice(0, maxMessageLength - 1)}…`;
}
