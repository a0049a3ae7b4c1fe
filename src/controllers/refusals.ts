/** Why the API server does not let a reconcile make what it should, for every controller. */
import { reasons } from '../api/conditions.ts';
import { ApiError, controllerOf, messageOf } from '../kube/index.ts';
import type { Live } from '../kube/index.ts';
import type { Problem } from './pod-problem.ts';

/** The API server refuses a child for good: retrying cannot help before the spec or the cluster changes. */
export class ChildRefusedError extends Error {
  readonly code = 'R2R_CHILD_REFUSED';
  readonly problem: Problem;
  constructor(problem: Problem, options?: ErrorOptions) {
    super(problem.message, options);
    this.problem = problem;
  }
}

/** A child of a deleted namesake is still being garbage-collected. */
export class ChildInTheWayError extends Error {
  readonly code = 'R2R_CHILD_IN_THE_WAY';
}

/** What only a change of the spec or of the cluster's rules can mend, as a ChildRefusedError; what passes, conflicts and time-outs, as it is. */
export function refusalOf(error: unknown, kind: string, name: string): unknown {
  if (!(error instanceof ApiError) || !isFinal(error)) return error;
  return new ChildRefusedError({ reason: reasons.applyFailed, message: `${kind} ${name}: ${messageOf(error)}` }, { cause: error });
}

/**
 * @param fix - what a person can do about an object that is somebody else's
 * @throws ChildInTheWayError, ChildRefusedError where `owner` does not control the object
 */
export function assertControlled(owner: Live, kind: string, live: Live, fix: string): void {
  const controller = controllerOf(live);
  if (controller?.uid === owner.metadata.uid) return;
  const name = `${kind} ${live.metadata.name}`;
  if (controller?.kind === owner.kind && controller.name === owner.metadata.name) {
    throw new ChildInTheWayError(`${name} belongs to a deleted ${owner.kind} of the same name and is still being removed`);
  }
  const message = `${name} exists and is not managed by this ${owner.kind}; ${fix}`;
  throw new ChildRefusedError({ reason: reasons.nameTaken, message });
}

/** The way out where an object's name follows from its owner's. */
export function renaming(owner: Live): string {
  return `delete or rename it, or give the ${owner.kind} another name`;
}

function isFinal({ status, message }: ApiError): boolean {
  // server-side apply answers a field of the wrong type with 500
  return status === 400 || status === 403 || status === 422 || (status === 500 && message.includes('typed patch object'));
}
