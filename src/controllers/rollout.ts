/** What is known of one revision's children. */
export interface RevisionState {
  readonly revision: string;
  /** Every replica of both roles runs the wanted template and is ready. */
  readonly complete: boolean;
  /** Router pods that still exist, ending ones included. */
  readonly routerPods: number;
}

export interface RolloutInput {
  /** The revision of the present spec. */
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
 * One step of a surge roll-out, decided from the state of the world alone, so that any operator replica can take over at any moment.
 * Revisions are never mixed: the endpoint moves from one to the other in one write, after the new one answered a request end to end.
 * An old revision that serves nobody never holds the new one up, and a new one that does not come up never takes the old one down.
 */
export function rolloutStep({ target, wantsRouters, serving, revisions, probed }: RolloutInput): RolloutStep {
  const stateOf = (revision: string | undefined): RevisionState | undefined => revisions.find((each) => each.revision === revision);
  const ready = stateOf(target)?.complete ?? false;
  const nothingToKeep = serving === undefined || serving === target || stateOf(serving) === undefined;
  const serve = nothingToKeep || (ready && (probed || !wantsRouters)) ? target : serving;
  return {
    serve,
    probe: !nothingToKeep && ready && wantsRouters && !probed,
    retire: revisions
      .filter(({ revision }) => revision !== target && revision !== serve)
      .map(({ revision, routerPods }) => ({ revision, what: routerPods > 0 ? ('routers' as const) : ('everything' as const) })),
  };
}
