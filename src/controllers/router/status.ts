import { setConditions } from '../../api/conditions.ts';
import type { ConditionInput } from '../../api/conditions.ts';
import type { R2RRouter } from '../../api/r2rrouter.ts';
import type { RolloutSpec } from '../../api/r2rrouter-release.ts';
import { routerReasons } from '../../api/r2rrouter-status.ts';
import type {
  R2RRouterStatus,
  RouterBundleRecord,
  RouterConditionType,
  RouterPhase,
  RouterStepStatus,
} from '../../api/r2rrouter-status.ts';
import { gateDecision, percent } from './gate.ts';
import type { GateDecision } from './gate.ts';
import type { ObservedJob } from './observation.ts';
import { isoTime, reasonOf } from './step-state.ts';
import type { BundleResult } from './termination.ts';

export interface StatusInput {
  readonly router: R2RRouter;
  readonly steps: readonly RouterStepStatus[];
  readonly jobs: readonly ObservedJob[];
  /** What the bundling step has just said. */
  readonly bundle: BundleResult | undefined;
  readonly now: Date;
}

type Condition = ConditionInput<RouterConditionType>;

/** The status, but for the roll-out to deployments, whose part of it is kept as it is. */
export function routerStatus(input: StatusInput): R2RRouterStatus {
  const { router, steps, jobs, now } = input;
  const { metadata, spec, status: before } = router;
  const generation = metadata.generation ?? 0;
  const history = historyOf(input);
  const done = steps.every(({ state }) => state === 'Done');
  const [newest] = history;
  const candidate = done ? newest : undefined;
  const decision = candidate && gateDecision(spec.gate, candidate, spec.source.checkpoint !== undefined);
  const offered = offeredBundle(router, history);
  const current = steps.find(({ state }) => state !== 'Done');
  const why =
    current &&
    reasonOf(
      current,
      jobs.find(({ step, hash }) => step === current.name && hash === current.hash),
    );
  const begun = steps.some(({ state }) => state === 'Done' || state === 'Running' || state === 'Retrying');
  const phase = phaseOf(router, current, begun, decision, offered);
  const counts = steps.find(({ name, state }) => name === 'construct' && state === 'Done')?.counts;
  return {
    observedGeneration: generation,
    conditions: setConditions(
      before?.conditions,
      conditions({ phase, current, why, decision, offered, rollout: spec.rollout }),
      generation,
      now,
    ),
    phase,
    steps: [...steps],
    ...(counts && {
      labels: {
        identical: counts.identical ?? 0,
        neutral: counts.neutral ?? 0,
        divergent: counts.divergent ?? 0,
        unknown: counts.unknown ?? 0,
        questions: counts.questions ?? 0,
        rows: counts.rows ?? 0,
      },
    }),
    ...(newest && { candidate: { digest: newest.digest, ...metricsOf(newest) } }),
    ...(offered && { bundle: { digest: offered.digest, uri: offered.uri, ...metricsOf(offered) } }),
    ...(history.length > 0 && { history: [...history] }),
    ...(before?.deployments && { deployments: before.deployments }),
    summary: {
      ...(current && { step: current.name }),
      ...(current?.progress &&
        current.progress.total > 0 && {
          progress: `${Math.floor((100 * Math.min(current.progress.done, current.progress.total)) / current.progress.total)}%`,
        }),
      ...(newest?.recall !== undefined && { recall: percent(newest.recall) }),
      ...(newest?.positiveRate !== undefined && { positiveRate: percent(newest.positiveRate) }),
    },
  };
}

/** The bundles, the newest first, each once; the newest one's gate is decided again, because the gate may have changed. */
function historyOf({ router, steps, bundle, now }: StatusInput): readonly RouterBundleRecord[] {
  const { spec, status } = router;
  const before = status?.history ?? [];
  const hash = steps.find(({ name }) => name === 'bundle')?.hash;
  const made: RouterBundleRecord | undefined =
    bundle && hash !== undefined
      ? {
          digest: bundle.digest,
          uri: bundle.uri,
          hash,
          ...metricsOf(bundle),
          ...(bundle.rows !== undefined && { rows: bundle.rows }),
          ...(bundle.current && { comparedWith: bundle.current }),
          gate: 'Refused',
          message: '',
          madeAt: isoTime(now),
        }
      : undefined;
  // A spec that was changed back: its bundle is the newest again.
  const again = made ?? before.find((each) => each.hash === hash);
  const list = again ? [again, ...before.filter(({ digest }) => digest !== again.digest)] : before;
  const inUse = new Set([
    spec.rollout.bundle,
    status?.bundle?.digest,
    ...(status?.deployments ?? []).flatMap(({ digest: used, previous }) => [used, previous]),
  ]);
  const kept = list.filter(({ digest }, index) => index < spec.storage.bundles.keep || inUse.has(digest));
  return kept.map((each, index) => {
    if (index > 0 || !again) return each;
    const { passed, message } = gateDecision(spec.gate, each, spec.source.checkpoint !== undefined);
    return { ...each, gate: passed ? 'Passed' : 'Refused', message };
  });
}

/**
 * What deployments are to get: the bundle that is named, else the newest. While the gate refuses that, what is offered already stays, also where
 * a stricter gate would refuse it by now: an older one would be no better. By hand nothing is offered but what is named.
 */
function offeredBundle({ spec, status }: R2RRouter, history: readonly RouterBundleRecord[]): RouterBundleRecord | undefined {
  const { bundle, policy } = spec.rollout;
  if (bundle !== undefined) return history.find(({ digest }) => digest === bundle);
  const present = history.find(({ digest }) => digest === status?.bundle?.digest);
  if (policy === 'Manual') return present;
  const [newest] = history;
  return newest?.gate === 'Passed' ? newest : (present ?? history.find(({ gate }) => gate === 'Passed'));
}

function phaseOf(
  { spec }: R2RRouter,
  current: RouterStepStatus | undefined,
  begun: boolean,
  decision: GateDecision | undefined,
  offered: RouterBundleRecord | undefined,
): RouterPhase {
  if (current) {
    if (current.state === 'Failed') return 'Failed';
    if (spec.jobs.suspend) return 'Suspended';
    return begun ? 'Running' : 'Pending';
  }
  return decision?.passed && offered ? 'Ready' : 'Refused';
}

interface ConditionsInput {
  readonly phase: RouterPhase;
  readonly current: RouterStepStatus | undefined;
  readonly why: { readonly reason: string; readonly message: string } | undefined;
  readonly decision: GateDecision | undefined;
  readonly offered: RouterBundleRecord | undefined;
  readonly rollout: RolloutSpec;
}

function conditions({ phase, current, why, decision, offered, rollout }: ConditionsInput): readonly Condition[] {
  const noProblem = { reason: routerReasons.noProblem, message: 'nothing stands in the way' };
  const working = phase === 'Running' || phase === 'Pending';
  const at = current ? `step ${current.name}: ` : '';
  const told = why && { reason: why.reason, message: `${at}${why.message}` };
  const suspended = { reason: routerReasons.suspended, message: 'jobs.suspend is true' };
  const jobsReady: Condition = current
    ? { type: 'JobsReady', status: 'False', ...(phase === 'Suspended' ? suspended : (told ?? noProblem)) }
    : { type: 'JobsReady', status: 'True', reason: routerReasons.done, message: 'every step is done' };
  const ready: Omit<Condition, 'type'> = offered
    ? { status: 'True', reason: routerReasons.done, message: `bundle ${offered.digest.slice(0, 12)} is offered` }
    : rollout.bundle !== undefined
      ? {
          status: 'False',
          reason: routerReasons.noBundle,
          message: 'rollout.bundle: this bundle is not in status.history; name one that is, or remove it',
        }
      : decision?.passed && rollout.policy === 'Manual'
        ? {
            status: 'False',
            reason: routerReasons.noBundle,
            message: 'rollout.policy is Manual: name a bundle of status.history in rollout.bundle',
          }
        : decision && !decision.passed
          ? { status: 'False', reason: decision.reason, message: decision.message }
          : { status: 'False', reason: jobsReady.reason, message: jobsReady.message };
  // A gate that refuses the only bundle, or a bundle that is not there, changes by itself as little as a step that failed for good.
  const awaitsChoice = decision?.passed === true && rollout.bundle === undefined;
  const { reason, message } = ready;
  const stuck = phase === 'Failed' ? (told ?? noProblem) : phase === 'Refused' && !offered && !awaitsChoice && { reason, message };
  return [
    { type: 'Ready', ...ready },
    { type: 'Reconciling', status: working ? 'True' : 'False', ...(working && told ? told : noProblem) },
    { type: 'Stalled', status: stuck ? 'True' : 'False', ...(stuck || noProblem) },
    jobsReady,
    decision
      ? { type: 'GatePassed', status: decision.passed ? 'True' : 'False', reason: decision.reason, message: decision.message }
      : { type: 'GatePassed', status: 'Unknown', reason: routerReasons.noBundle, message: 'no bundle of this spec has been made yet' },
  ];
}

function metricsOf({ recall, positiveRate, threshold }: Pick<RouterBundleRecord, 'recall' | 'positiveRate' | 'threshold'>) {
  return {
    ...(recall !== undefined && { recall }),
    ...(positiveRate !== undefined && { positiveRate }),
    ...(threshold !== undefined && { threshold }),
  };
}
