/** Events: what a person reading `kubectl describe` should see of a reconcile. */
import { findCondition, isTrue, reasons } from '../api/conditions.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import type { R2RDeploymentStatus } from '../api/r2rdeployment-status.ts';
import type { EventRecorder, Live } from '../kube/index.ts';
import type { AppliedChild } from './children.ts';

/** A child that had to be written although the spec had been reached: somebody changed or deleted it. */
export function noteChild(recorder: EventRecorder, owner: Live<R2RDeployment>, { object, outcome }: AppliedChild): void {
  const reached = owner.status?.observedGeneration === owner.metadata.generation && isTrue(owner.status?.conditions, 'Ready');
  if (outcome === 'unchanged' || !reached) return;
  const what = `${object.kind} ${object.metadata.name}`;
  recorder.record(
    owner,
    outcome === 'created'
      ? { type: 'Warning', reason: 'ChildRestored', action: 'Apply', note: `${what} was missing and has been made again` }
      : { type: 'Normal', reason: 'DriftCorrected', action: 'Apply', note: `${what} differed from the spec and has been set right` },
  );
}

/** What changed from one status to the next. */
export function noteChanges(
  recorder: EventRecorder,
  owner: Live<R2RDeployment>,
  before: R2RDeploymentStatus | undefined,
  after: R2RDeploymentStatus,
): void {
  const { target, serving } = after.revision ?? {};
  if (target && target !== before?.revision?.target) {
    recorder.record(owner, { type: 'Normal', reason: 'RolloutStarted', action: 'RollOut', note: `revision ${target} is being rolled out` });
  }
  if (serving && before?.revision?.serving && serving !== before.revision.serving) {
    const note = `the endpoint moved from revision ${before.revision.serving} to ${serving}`;
    recorder.record(owner, { type: 'Normal', reason: 'EndpointMoved', action: 'RollOut', note });
  }
  noteRouters(recorder, owner, before, after);
  const was = findCondition(before?.conditions, 'Ready');
  const is = findCondition(after.conditions, 'Ready');
  if (is && (was?.status !== is.status || was.reason !== is.reason)) {
    const quiet = is.status === 'True' || ['PodsNotReady', 'Updating', 'Probing', 'BundleLoading'].includes(is.reason);
    // that a roll-out has started says as much
    if (!was && quiet && is.status !== 'True') return;
    recorder.record(owner, { type: quiet ? 'Normal' : 'Warning', reason: is.reason, action: 'Observe', note: is.message });
  }
}

/** What is worth an event although the deployment stays ready. */
const routerNotes: Readonly<Record<string, 'Normal' | 'Warning'>> = { [reasons.noBundleYet]: 'Normal', [reasons.routerErrors]: 'Warning' };

function noteRouters(
  recorder: EventRecorder,
  owner: Live<R2RDeployment>,
  before: R2RDeploymentStatus | undefined,
  after: R2RDeploymentStatus,
): void {
  const was = findCondition(before?.conditions, 'RouterReady');
  const is = findCondition(after.conditions, 'RouterReady');
  const type = is && routerNotes[is.reason];
  if (type && was?.reason !== is.reason) recorder.record(owner, { type, reason: is.reason, action: 'Observe', note: is.message });
}
