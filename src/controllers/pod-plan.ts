import { labelKeys, templateRecordName } from '../api/names.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import { revisionOf, templateKey } from '../api/revision.ts';
import type { Live } from '../kube/index.ts';
import type { Caches } from './caches.ts';
import { replicasOf } from './revision-applier.ts';
import type { PinnedPods, Replicas, RevisionApplier } from './revision-applier.ts';
import { mayStart, rolloutTarget } from './rollout.ts';
import type { Pause } from './rollout-status.ts';
import { revisionStates } from './world.ts';
import type { ReachableRevision } from './world.ts';

/** Which pods there are to be, and how many of them by now. */
export interface PodPlan {
  /** The revision that the endpoint Service selects. */
  readonly serving: string | undefined;
  /** The revision that pods are to be of. */
  readonly target: string;
  /** Undefined: nothing says what the pods of a revision that is to stay look like. They are left alone. */
  readonly pods: PinnedPods | undefined;
  /** How many, of what is wanted. */
  replicasOf(deployment: Live<R2RDeployment>): Replicas;
  /** What waits for another strategy. */
  readonly paused: Pause | undefined;
}

/** The deployment as it is to be while it is suspended: nobody is to answer, and no LLM is needed. */
export function withSuspension(deployment: Live<R2RDeployment>): Live<R2RDeployment> {
  const { spec } = deployment;
  if (!spec.suspend) return deployment;
  return { ...deployment, spec: { ...spec, slm: { ...spec.slm, replicas: 0 }, llm: { ...spec.llm, replicas: 0 } } };
}

const none: Replicas = { slm: 0, llm: 0 };

/** @throws OverlayError where the pods of the present spec are needed and cannot be rendered */
export function planPods(caches: Caches, revisions: RevisionApplier, deployment: Live<R2RDeployment>, now: Date): PodPlan {
  const { metadata, spec } = deployment;
  const { strategy } = spec.rollout;
  const serving = caches.services.get(metadata)?.spec?.selector?.[labelKeys.revision];
  const wanted = revisionOf(spec);
  const states = revisionStates(caches, deployment, wanted, [], now);
  const target = rolloutTarget(strategy, wanted, serving, states);
  const held = strategy === 'None' && target === serving ? revisions.podsInForce(deployment, target) : undefined;
  const pods = held ?? (target === wanted ? revisions.pods(deployment) : undefined);
  const isWanted = pods?.record === templateRecordName(metadata.name, templateKey(spec));
  return {
    serving,
    target,
    pods,
    replicasOf: (settled) =>
      mayStart(strategy, target, states)
        ? replicasNow(
            settled,
            states.find(({ revision }) => revision === target),
          )
        : none,
    paused: isWanted ? undefined : { revision: wanted },
  };
}

/** What the spec asks for; but the LLM of a suspended deployment stays as long as routers finish requests, which need it. */
function replicasNow(deployment: R2RDeployment, target: ReachableRevision | undefined): Replicas {
  const inUse = deployment.spec.suspend && target !== undefined && target.routerPods > 0;
  const { slm, llm } = replicasOf(deployment);
  return { slm, llm: inUse ? target.llmReplicas : llm };
}
