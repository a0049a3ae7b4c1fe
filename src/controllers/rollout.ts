import type { RolloutStrategy } from '../api/rollout-spec.ts';

/** What is known of one revision's children. */
export interface RevisionState {
  readonly revision: string;
  /** Every replica of both roles runs the wanted template and is ready. */
  readonly complete: boolean;
  /** Router pods that still exist, ending ones included. */
  readonly routerPods: number;
  /** Its children are there, whether or not they are to have pods yet. */
  readonly made: boolean;
  /** Its Deployments ask for pods, or there are pods, ending ones included. */
  readonly started: boolean;
}

/** @returns the revision that pods are to be of: the present spec's, unless the strategy is to leave what serves as it is */
export function rolloutTarget(
  strategy: RolloutStrategy,
  wanted: string,
  serving: string | undefined,
  revisions: readonly RevisionState[],
): string {
  const holds = strategy === 'None' && serving !== undefined && revisions.some(({ revision }) => revision === serving);
  return holds ? serving : wanted;
}

/**
 * Whether the target may have pods by now. InPlace keeps it at none until those of all other revisions have gone; one that has been started is
 * never taken back.
 */
export function mayStart(strategy: RolloutStrategy, target: string, revisions: readonly RevisionState[]): boolean {
  if (strategy !== 'InPlace') return true;
  const started = revisions.filter((each) => each.started).map(({ revision }) => revision);
  return started.includes(target) || started.length === 0;
}

export interface RolloutInput {
  readonly strategy: RolloutStrategy;
  /** The revision that pods are to be of, see {@link rolloutTarget}. */
  readonly target: string;
  /** Whether the spec asks for any router: without one there is nobody to answer a probe, and nobody to keep waiting. */
  readonly wantsRouters: boolean;
  /** The revision that the endpoint Service selects now, if the Service exists. */
  readonly serving: string | undefined;
  /** Every revision with children in the cluster, and the target in any case. */
  readonly revisions: readonly RevisionState[];
  /** Whether the target has answered a request end to end. */
  readonly probed: boolean;
}

export interface RolloutStep {
  /** The revision that the endpoint Service should select. */
  readonly serve: string;
  /** Send the target a probe request now. */
  readonly probe: boolean;
  /** Revisions to take down: routers first, the rest once they have finished their requests. */
  readonly retire: readonly { readonly revision: string; readonly what: 'routers' | 'everything' }[];
}

/**
 * One step of a roll-out, decided from the state of the world alone, so that any operator replica can take over at any moment.
 * Revisions are never mixed: the endpoint moves from one to the other in one write; under Surge after the new one answered a request end to
 * end, under InPlace once its objects are there, because the old one is about to go.
 * An old revision that serves nobody never holds the new one up, and under Surge a new one that does not come up never takes the old one down.
 */
export function rolloutStep({ strategy, target, wantsRouters, serving, revisions, probed }: RolloutInput): RolloutStep {
  const stateOf = (revision: string | undefined): RevisionState | undefined => revisions.find((each) => each.revision === revision);
  const ready = stateOf(target)?.complete ?? false;
  const goesFirst = strategy === 'InPlace' && stateOf(target)?.made === true;
  const nothingToKeep = serving === undefined || serving === target || stateOf(serving) === undefined || goesFirst;
  const serve = nothingToKeep || (ready && (probed || !wantsRouters)) ? target : serving;
  return {
    serve,
    probe: !nothingToKeep && ready && wantsRouters && !probed,
    retire: revisions
      .filter(({ revision }) => revision !== target && revision !== serve)
      .map(({ revision, routerPods }) => ({ revision, what: routerPods > 0 ? ('routers' as const) : ('everything' as const) })),
  };
}
