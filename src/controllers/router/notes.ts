import { routerReasons } from '../../api/r2rrouter-status.ts';
import type { R2RRouterStatus } from '../../api/r2rrouter-status.ts';
import type { R2RRouter } from '../../api/r2rrouter.ts';
import type { EventNote, EventRecorder, Live } from '../../kube/index.ts';

/** Events: what a person reading `kubectl describe r2rr` should see happen. */
export function noteRouterChanges(
  recorder: EventRecorder,
  owner: Live<R2RRouter>,
  before: R2RRouterStatus | undefined,
  after: R2RRouterStatus,
): void {
  for (const note of [...stepNotes(before, after), ...bundleNotes(before, after), ...followerNotes(before, after)])
    recorder.record(owner, note);
}

function stepNotes(before: R2RRouterStatus | undefined, after: R2RRouterStatus): readonly EventNote[] {
  return (after.steps ?? []).flatMap(({ name, hash, state, failure, rows, counts }): EventNote[] => {
    const was = before?.steps?.find((each) => each.name === name);
    if (was?.state === state && was.hash === hash) return [];
    const step = `step ${name} (${hash?.slice(0, 8) ?? ''})`;
    if (state === 'Running') return [{ type: 'Normal', reason: 'StepRunning', action: 'RunStep', note: `${step} runs` }];
    if (state === 'Done') {
      const told = Object.entries({ ...rows, ...counts }).map(([what, count]) => `${what} ${count}`);
      return [
        { type: 'Normal', reason: 'StepDone', action: 'RunStep', note: `${step} is done${told.length > 0 ? `: ${told.join(', ')}` : ''}` },
      ];
    }
    if (state !== 'Failed' && state !== 'Retrying') return [];
    const reason = state === 'Failed' ? 'StepFailed' : 'StepRetrying';
    return [{ type: 'Warning', reason, action: 'RunStep', note: `${step}: ${failure?.code ?? ''}: ${failure?.message ?? 'no message'}` }];
  });
}

function bundleNotes(before: R2RRouterStatus | undefined, after: R2RRouterStatus): readonly EventNote[] {
  const [newest] = after.history ?? [];
  const notes: EventNote[] = [];
  const was = before?.history?.[0];
  if (newest && (was?.digest !== newest.digest || was.gate !== newest.gate)) {
    const passed = newest.gate === 'Passed';
    notes.push({
      type: passed ? 'Normal' : 'Warning',
      reason: passed ? routerReasons.gatePassed : 'GateRefused',
      action: 'Decide',
      note: `bundle ${newest.digest.slice(0, 12)}: ${newest.message}`,
    });
  }
  const offered = after.bundle?.digest;
  if (offered !== undefined && offered !== before?.bundle?.digest) {
    notes.push({ type: 'Normal', reason: 'BundleOffered', action: 'RollOut', note: `deployments get bundle ${offered.slice(0, 12)}` });
  }
  return notes;
}

function followerNotes(before: R2RRouterStatus | undefined, after: R2RRouterStatus): readonly EventNote[] {
  return (after.deployments ?? []).flatMap(({ name, digest, state, refused, message = '' }): EventNote[] => {
    const was = before?.deployments?.find((each) => each.name === name);
    if (was?.state === state && was.digest === digest) return [];
    if (state === 'RolledBack') {
      const note = `R2RDeployment ${name} went back from bundle ${refused?.slice(0, 12) ?? ''}: ${message}`;
      return [{ type: 'Warning', reason: routerReasons.rolledBack, action: 'RollOut', note }];
    }
    if (state !== 'Updating' && state !== 'Done') return [];
    const [reason, verb] = state === 'Done' ? ['DeploymentUpdated', 'uses'] : ['DeploymentUpdating', 'gets'];
    return [{ type: 'Normal', reason, action: 'RollOut', note: `R2RDeployment ${name} ${verb} bundle ${digest?.slice(0, 12) ?? ''}` }];
  });
}
