import { findCondition, reasons, setConditions } from '../api/conditions.ts';
import type { ConditionInput } from '../api/conditions.ts';
import { namingSecrets } from '../api/mounted-secrets.ts';
import type { MountedSecret } from '../api/mounted-secrets.ts';
import type { R2RDeploymentStatus } from '../api/r2rdeployment-status.ts';
import type { RouterStatus } from '../api/router-status.ts';
import type { ServedRevision } from '../api/rollout-history.ts';
import { commonBundle, networkProblem, routerAlarm, routingBeneficial } from './network-state.ts';
import type { Problem } from './pod-problem.ts';
import { requestErrors } from './request-errors.ts';
import type { RoleState, RouterState } from './role-state.ts';
import { withServing } from './rollout-history.ts';
import { gap, heldUpBy, lateness, reachedReason, roomAdvice, suspension, wish } from './rollout-status.ts';
import type { RolloutView } from './rollout-status.ts';
import { routingSummary, significant } from './routing.ts';
import type { Routing } from './routing.ts';

/** Everything the status is computed from: the world at one instant, and what this reconcile did. */
export interface Observation {
  readonly generation: number;
  readonly now: Date;
  readonly endpoint: string;
  readonly selector: string;
  readonly target: string;
  /** The revision the endpoint Service selects after this reconcile. */
  readonly serving: string;
  /** Children of revisions other than the target still exist. */
  readonly oldRevisions: boolean;
  readonly rollout: RolloutView;
  /** The target's roles. */
  readonly slm: RoleState;
  readonly llm: RoleState;
  readonly router: RouterState;
  /** Requests wait for a first LLM replica, which comes when one does. @default false */
  readonly llmScaledToZero?: boolean;
  /** SLM pods of the target whose engine is ready, whether or not their router is. */
  readonly readyEngines: number;
  /** Pods of all revisions. */
  readonly total: { readonly slm: ReplicaCount; readonly llm: ReplicaCount };
  /** Digest of the configuration the target's routers should run, and what they answered. */
  /** Where the configuration has the routers get their network. */
  readonly networkUri: string | undefined;
  readonly configDigest: string;
  readonly routers: readonly RouterStatus[];
  readonly unreachableRouters: number;
  /** Secrets of the spec, by the folders that routers know them by. */
  readonly secrets: readonly MountedSecret[];
  readonly routing: Routing | undefined;
  /** The routers serve without a network until the R2RRouter that is followed offers one. */
  readonly awaitedBundle: Problem | undefined;
  /** The probe request to the target failed. */
  readonly probeProblem: string | undefined;
  /** The spec or a child was refused for good: reason and message. */
  readonly stalled: Problem | undefined;
}

export interface ReplicaCount {
  readonly replicas: number;
  readonly readyReplicas: number;
  readonly updatedReplicas: number;
}

/**
 * The whole status, a pure function of what was observed and the status before (for transition times, and for telling a roll-out that
 * has not been reached from a pod that fell ill later).
 */
export function computeStatus(seen: Observation, previous: R2RDeploymentStatus | undefined): R2RDeploymentStatus {
  const { slm, llm } = seen;
  const slmReady = roleCondition('SLMReady', slm, seen.readyEngines);
  const llmReady = roleCondition('LLMReady', llm, llm.ready, seen.llmScaledToZero);
  const router = routerCondition(seen);
  const parts = [llmReady, slmReady, router];
  const reached = !isReconciling(seen, previous);
  const stopped = seen.stalled ?? stall(seen, parts, reached);
  const beneficial = routingBeneficial(seen.routers);
  const bundle = commonBundle(seen.routers);
  const running = seen.routers.find(({ configDigest }) => configDigest === seen.configDigest);
  return {
    observedGeneration: seen.generation,
    conditions: setConditions(
      previous?.conditions,
      [
        readyCondition(seen, parts),
        reconciling(seen, parts, reached, stopped),
        stalled(stopped),
        ...[slmReady, llmReady, router],
        ...(beneficial ? [beneficial] : []),
      ],
      seen.generation,
      seen.now,
    ),
    endpoint: seen.endpoint,
    revision: { serving: seen.serving, target: seen.rollout.paused?.revision ?? seen.target },
    history: history(seen, previous),
    slm: seen.total.slm,
    llm: seen.total.llm,
    selector: seen.selector,
    ...(seen.routing && { routing: seen.routing }),
    ...(running && {
      router: {
        configDigest: running.configDigest,
        strategy: running.strategy,
        // A checkpoint's own is a point of a grid with seventeen digits.
        ...(running.threshold !== undefined && { threshold: significant(running.threshold, 6) }),
        ...(bundle && { bundle: { ...bundle, ...networkAddress(seen, bundle.digest, previous) } }),
      },
    }),
    summary: { slm: `${seen.router.ready}/${slm.wanted}`, llm: `${llm.ready}/${llm.wanted}`, ...routingSummary(seen.routing) },
  };
}

function history({ serving, target, rollout, now }: Observation, previous: R2RDeploymentStatus | undefined): ServedRevision[] {
  const isOfSpec = serving === (rollout.paused?.revision ?? target);
  return withServing(previous ?? {}, serving, isOfSpec ? rollout.described : undefined, now);
}

/** Known once every router scores with what the configuration names; while another one is loaded it stays what it was. */
function networkAddress(seen: Observation, digest: string, previous: R2RDeploymentStatus | undefined): { readonly uri?: string } {
  const settled = !networkProblem(seen.routers) && seen.routers.every(({ configDigest }) => configDigest === seen.configDigest);
  const before = previous?.router?.bundle;
  const uri = settled ? seen.networkUri : before?.digest === digest ? before.uri : undefined;
  return uri === undefined ? {} : { uri };
}

function roleCondition(type: 'SLMReady' | 'LLMReady', role: RoleState, ready: number, byPolicy = false): ConditionInput {
  const count = `${ready} of ${role.wanted} replicas are ready`;
  if (role.wanted === 0 && role.replicas === 0)
    return {
      type,
      status: 'True',
      reason: reasons.scaledToZero,
      message: byPolicy ? 'scaled to zero by policy; a request brings it back' : 'scaled to zero',
    };
  if (ready >= role.wanted && !role.problem) return { type, status: 'True', reason: reasons.upToDate, message: count };
  if (role.problem) return { type, status: 'False', reason: role.problem.reason, message: `${count}; ${role.problem.message}` };
  return { type, status: 'False', reason: reasons.podsNotReady, message: `${count}; the others are starting` };
}

function routerCondition(seen: Observation): ConditionInput {
  const type = 'RouterReady';
  const { router } = seen;
  const count = `${router.ready} of ${router.wanted} routers are ready`;
  if (router.wanted === 0) return { type, status: 'True', reason: reasons.scaledToZero, message: 'scaled to zero' };
  const problem = router.ready < router.wanted ? whyNotReady(seen) : whyDegraded(seen);
  if (!problem && seen.awaitedBundle) {
    const { reason, message } = seen.awaitedBundle;
    return { type, status: 'True', reason, message: `${count}; ${message}` };
  }
  if (!problem) return { type, status: 'True', reason: reasons.upToDate, message: `${count} and run the wanted configuration` };
  return { type, status: 'False', reason: problem.reason, message: `${count}; ${namingSecrets(problem.message, seen.secrets)}` };
}

function whyNotReady({ router, routers }: Observation): Problem {
  if (router.problem) return router.problem;
  const network = networkProblem(routers);
  if (network?.reason === reasons.bundleRefused) return network;
  const awaited = [...new Set(routers.flatMap(({ waitingFor }) => waitingFor))];
  if (awaited.length === 0) return network ?? { reason: reasons.podsNotReady, message: 'the others are starting' };
  return { reason: network?.reason ?? reasons.podsNotReady, message: `a router waits for ${awaited.join(', ')}` };
}

/** What is wrong with routers that all take requests. */
function whyDegraded({ router, routers, unreachableRouters, configDigest }: Observation): Problem | undefined {
  if (router.problem) return router.problem;
  if (unreachableRouters > 0) {
    return { reason: reasons.routerUnreachable, message: `${unreachableRouters} routers do not answer the operator` };
  }
  const network = networkProblem(routers);
  if (network?.reason === reasons.bundleRefused) return network;
  const behind = routers.filter((each) => each.configDigest !== configDigest).length;
  if (behind > 0) {
    return { reason: reasons.configurationPending, message: `${behind} routers have not taken over the new configuration` };
  }
  // Failures are told only of the network that is wanted: while it is loaded they are those of the one before.
  return network ?? requestErrors(routers) ?? routerAlarm(routers);
}

/** A new generation is being worked on until everything it asks for was there once; what falls ill later is not a roll-out. */
function isReconciling(seen: Observation, previous: R2RDeploymentStatus | undefined): boolean {
  const before = findCondition(previous?.conditions, 'Reconciling');
  const reachedBefore =
    before?.status === 'False' && before.reason === reachedReason(seen) && before.observedGeneration === seen.generation;
  const complete = seen.slm.complete && seen.llm.complete;
  return !(seen.serving === seen.target && !seen.oldRevisions && (complete || reachedBefore));
}

function reconciling(seen: Observation, parts: readonly ConditionInput[], reached: boolean, stopped: Problem | undefined): ConditionInput {
  const type = 'Reconciling';
  if (stopped) return { type, status: 'False', reason: stopped.reason, message: 'see condition Stalled' };
  const told = suspension(seen) ?? (reached ? wish(seen) : gap(seen));
  if (told) return { type, status: reached ? 'False' : 'True', ...told };
  if (reached) return { type, status: 'False', reason: reasons.upToDate, message: `revision ${seen.target} is rolled out` };
  const progress = `SLM ${seen.router.ready}/${seen.slm.wanted}, LLM ${seen.llm.ready}/${seen.llm.wanted}`;
  const held = heldUpBy(parts)?.reason;
  const reason = held === reasons.insufficientCapacity ? held : reasons.updating;
  const message = `revision ${seen.target} is being rolled out: ${progress}${meanwhile(seen)}${roomAdvice(seen, reason)}`;
  return { type, status: 'True', reason, message };
}

/** Pods that were not there in time hold a roll-out up, not what has been reached before. */
function stall(seen: Observation, parts: readonly ConditionInput[], reached: boolean): Problem | undefined {
  const late = reached && ![seen.slm, seen.llm].some(({ deadlineExceeded }) => deadlineExceeded) ? undefined : lateness(seen, parts);
  return late && { reason: late.reason, message: `${late.message}${meanwhile(seen)}` };
}

function stalled(problem: Problem | undefined): ConditionInput {
  const type = 'Stalled';
  if (problem) return { type, status: 'True', ...problem };
  return { type, status: 'False', reason: reasons.noProblem, message: 'nothing stands in the way' };
}

function meanwhile({ serving, target }: Observation): string {
  return serving === target ? '' : `; revision ${serving} goes on answering`;
}

/**
 * True when the endpoint has moved to the present spec's pods and they answer, or all is as is wished otherwise; whether all pods are there
 * yet is Reconciling's to say. When False, the reason is that of the part that holds it up, the deepest first.
 */
function readyCondition(seen: Observation, parts: readonly ConditionInput[]): ConditionInput {
  const type = 'Ready';
  if (seen.stalled) return { type, status: 'False', reason: seen.stalled.reason, message: `${seen.stalled.message}${meanwhile(seen)}` };
  const suspended = suspension(seen);
  if (suspended) return { type, status: 'True', ...suspended };
  const llmAnswers = seen.llm.ready > 0 || seen.llm.wanted === 0 || seen.llmScaledToZero === true;
  const answering = (seen.router.ready > 0 || seen.slm.wanted === 0) && llmAnswers;
  if (seen.serving === seen.target && answering) {
    const degraded = parts.filter(({ status }) => status === 'False').map((part) => `${part.type}: ${part.message}`);
    const message = degraded.length > 0 ? `answering, but ${degraded.join('; ')}` : `${seen.endpoint} answers`;
    const wished = wish(seen);
    return wished
      ? { type, status: 'True', reason: wished.reason, message: `${message}; ${wished.message}` }
      : { type, status: 'True', reason: reasons.serving, message };
  }
  const missing = gap(seen);
  if (missing) return { type, status: 'False', ...missing };
  const held = heldUpBy(parts);
  if (held) {
    const message = `${held.type}: ${held.message}${meanwhile(seen)}${roomAdvice(seen, held.reason)}`;
    return { type, status: 'False', reason: held.reason, message };
  }
  if (seen.probeProblem) return { type, status: 'False', reason: reasons.probeFailed, message: `${seen.probeProblem}${meanwhile(seen)}` };
  return { type, status: 'False', reason: reasons.updating, message: `revision ${seen.target} is being rolled out${meanwhile(seen)}` };
}
