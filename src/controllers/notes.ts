/** Events: what a person reading `kubectl describe` should see of a reconcile. */
import { findCondition, isTrue, reasons } from '../api/conditions.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import type { R2RDeploymentStatus } from '../api/r2rdeployment-status.ts';
import type { EventRecorder, Live } from '../kube/index.ts';
import type { AppliedChild } from './children.ts';

/** A child that had to be written although the spec had been reached: somebody changed or deleted it. */
export function noteChild(recorder: EventRecorder, owner: Live<R2RDeployment>, { object, outcome }: AppliedChild): void {
  // what the operator itself scales or drains is no drift
  if (outcome === 'unchanged' || !isReached(owner) || (outcome === 'changed' && owner.spec.pools?.changing)) return;
  const what = `${object.kind} ${object.metadata.name}`;
  recorder.record(
    owner,
    outcome === 'created'
      ? { type: 'Warning', reason: 'ChildRestored', action: 'Apply', note: `${what} was missing and has been made again` }
      : { type: 'Normal', reason: 'DriftCorrected', action: 'Apply', note: `${what} differed from the spec and has been set right` },
  );
}

/** Somebody gave the LLM's Deployment other replicas, which are being taken back: pod by pod where they are more. */
export function noteEditedReplicas(recorder: EventRecorder, owner: Live<R2RDeployment>, found: number, wanted: number): void {
  if (!isReached(owner)) return;
  const note = `the LLM's Deployment had ${found} replicas; ${wanted} are wanted: set them in the R2RDeployment (kubectl scale r2r ${owner.metadata.name})`;
  recorder.record(owner, { type: 'Normal', reason: 'DriftCorrected', action: 'Apply', note });
}

/** What the spec asks for was there, so that what differs now was changed by somebody. */
function isReached({ metadata, status }: Live<R2RDeployment>): boolean {
  const { conditions, observedGeneration } = status ?? {};
  return observedGeneration === metadata.generation && isTrue(conditions, 'Ready') && !isTrue(conditions, 'Reconciling');
}

/** What changed from one status to the next. */
export function noteChanges(
  recorder: EventRecorder,
  owner: Live<R2RDeployment>,
  before: R2RDeploymentStatus | undefined,
  after: R2RDeploymentStatus,
): void {
  const { target, serving } = after.revision ?? {};
  const from = isPaused(before) ? before?.revision?.serving : before?.revision?.target;
  if (target && target !== from && !isPaused(after)) {
    recorder.record(owner, { type: 'Normal', reason: 'RolloutStarted', action: 'RollOut', note: `revision ${target} is being rolled out` });
  }
  if (serving && before?.revision?.serving && serving !== before.revision.serving) {
    const note = `the endpoint moved from revision ${before.revision.serving} to ${serving}`;
    recorder.record(owner, { type: 'Normal', reason: 'EndpointMoved', action: 'RollOut', note });
  }
  noteRouters(recorder, owner, before, after);
  noteModels(recorder, owner, before, after);
  const was = findCondition(before?.conditions, 'Ready');
  const is = findCondition(after.conditions, 'Ready');
  if (is && (was?.status !== is.status || was.reason !== is.reason)) {
    const quiet = is.status === 'True' || quietReasons.has(is.reason);
    // that a roll-out has started says as much
    if (!was && quiet && is.status !== 'True') return;
    recorder.record(owner, { type: quiet ? 'Normal' : 'Warning', reason: is.reason, action: 'Observe', note: is.message });
  }
}

/** Why a deployment may well be not ready for a while. */
const quietReasons = new Set<string>(['PodsNotReady', 'Updating', 'Probing', 'BundleLoading', 'ModelDownloading', reasons.recreateGap]);

/** A changed spec waits. */
function isPaused(status: R2RDeploymentStatus | undefined): boolean {
  return (['Ready', 'Reconciling'] as const).some((type) => findCondition(status?.conditions, type)?.reason === reasons.rolloutPaused);
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

/** Models that are there, and what stands in their way where the deployment answers meanwhile and so keeps its reason. */
function noteModels(
  recorder: EventRecorder,
  owner: Live<R2RDeployment>,
  before: R2RDeploymentStatus | undefined,
  after: R2RDeploymentStatus,
): void {
  const was = findCondition(before?.conditions, 'ModelsReady');
  const is = findCondition(after.conditions, 'ModelsReady');
  if (!is || was?.reason === is.reason) return;
  const quiet = is.status === 'True' || is.reason === reasons.modelDownloading;
  recorder.record(owner, { type: quiet ? 'Normal' : 'Warning', reason: is.reason, action: 'Download', note: is.message });
}
