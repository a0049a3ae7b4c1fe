import type { Condition } from './r2rdeployment-status.ts';

/**
 * The first three are those that kstatus reads. `RoutingBeneficial` says whether routing is faster than the LLM alone, `ScalingReady` why the pools
 * have the size they have; neither changes the others. `ModelsReady` is there only where a model is on the hub.
 */
export const conditionTypes = [
  'Ready',
  'Reconciling',
  'Stalled',
  'SLMReady',
  'LLMReady',
  'RouterReady',
  'RoutingBeneficial',
  'ModelsReady',
  'ScalingReady',
] as const;
export type ConditionType = (typeof conditionTypes)[number];

/**
 * Reasons this project sets itself. Beside them a child's own reason is copied up as it is (`ImagePullBackOff`, `CrashLoopBackOff`,
 * `Unschedulable`), so that the first line a user reads is the true one.
 */
export const reasons = {
  /** All wanted replicas are ready and requests are answered. */
  serving: 'Serving',
  /** Zero replicas are wanted, and there are none. */
  scaledToZero: 'ScaledToZero',
  /** Pods wait for room: the scheduler finds no node for them. */
  insufficientCapacity: 'InsufficientCapacity',
  /** Pods run but are not ready yet, for example because they load weights. */
  podsNotReady: 'PodsNotReady',
  /** A new revision is being brought up; the old one, if any, goes on answering. */
  updating: 'Updating',
  /** `spec.rollout.strategy` is InPlace: the old revision finishes its requests and goes before the new one is made; nothing answers meanwhile. */
  recreateGap: 'RecreateGap',
  /** `spec.rollout.strategy` is None: a changed spec waits, and the revision that was there goes on. */
  rolloutPaused: 'RolloutPaused',
  /** `spec.suspend` is true: there are no pods, by wish. */
  suspended: 'Suspended',
  /** Pods did not become ready within `spec.rollout.progressDeadlineSeconds`, and none says why. */
  progressDeadlineExceeded: 'ProgressDeadlineExceeded',
  /** The new revision's pods are ready, but its probe request has not been answered yet. */
  probing: 'Probing',
  /** The probe request to the new revision was answered wrongly or not at all. */
  probeFailed: 'ProbeFailed',
  /** What the spec asks for has been reached. */
  upToDate: 'UpToDate',
  /** The spec cannot be rendered into pods; the message says which field and why. Existing children keep running. */
  specInvalid: 'SpecInvalid',
  /** The API server refused a child. */
  applyFailed: 'ApplyFailed',
  /** A child's name is taken by an object that is not ours. */
  nameTaken: 'NameTaken',
  /** Routers have not confirmed the configuration in force. */
  configurationPending: 'ConfigurationPending',
  /** Routers do not answer the operator. */
  routerUnreachable: 'RouterUnreachable',
  /** Routers fetch, import or read the wanted checkpoint; the network before, if there is one, goes on scoring. */
  bundleLoading: 'BundleLoading',
  /** Routers refuse the wanted checkpoint; the message says why. The network before, if there is one, goes on scoring. */
  bundleRefused: 'BundleRefused',
  /** The R2RRouter that spec.router.checkpoint.routerRef names does not exist; existing children keep running. */
  routerNotFound: 'RouterNotFound',
  /** The R2RRouter assigns a bundle of which it does not say where it is; existing children keep running. */
  bundleNotFound: 'BundleNotFound',
  /** The R2RRouter that is followed offers no bundle yet; tokens are routed without a network until then. */
  noBundleYet: 'NoBundleYet',
  /** Many of the last minute's requests ended with an error of ours; the endpoint goes on answering. */
  routerErrors: 'RouterErrors',
  /** Models on the hub are downloaded to the cache; the revision that serves goes on meanwhile. The message has speed and estimate. */
  modelDownloading: 'ModelDownloading',
  /** All models of the spec are in the cache. */
  downloaded: 'Downloaded',
  /** The hub wants a token, or another one (private and gated models); the message says what to do. */
  modelAccessDenied: 'ModelAccessDenied',
  /** There is no such repository or revision. */
  modelNotFound: 'ModelNotFound',
  /** The repository holds nothing that can be served: no safetensors, or no tokenizer.json. */
  modelUnsupported: 'ModelUnsupported',
  /** What the hub sent is not what it lists, twice. */
  modelChecksumMismatch: 'ModelChecksumMismatch',
  /** The claim has no room for the model. */
  modelCacheFull: 'ModelCacheFull',
  /** The claim cannot be written. */
  modelCacheUnusable: 'ModelCacheUnusable',
  /** The hub does not answer; it is tried again. */
  hubUnavailable: 'HubUnavailable',
  /** A download failed for another reason; the message has it. */
  modelDownloadFailed: 'ModelDownloadFailed',
  /** The LLM spans nodes, and the cluster knows no LeaderWorkerSets; everything but the LLM's pods is there. */
  leaderWorkerSetsMissing: 'LeaderWorkerSetsMissing',
  /** `replicas` is followed: autoscaling is not set. */
  fixedReplicas: 'FixedReplicas',
  /** Nothing stands in the way. */
  noProblem: 'NoProblem',
  /** Not known yet. */
  unknown: 'Unknown',
} as const;

/** @typeParam Type - the types of the kind of resource; those of an R2RDeployment where none are named */
export interface ConditionInput<Type extends string = ConditionType> {
  readonly type: Type;
  readonly status: Condition['status'];
  readonly reason: string;
  readonly message: string;
}

const maxMessageLength = 1024;

/**
 * A new list with `next` in place (in order of first appearance). `lastTransitionTime` becomes `now` only when `status` changes, so that
 * setting the same again gives an equal list and costs no write. Reasons are made to fit the API's pattern, messages are cut at 1,024 characters.
 */
export function setCondition(
  conditions: readonly Condition[] | undefined,
  next: ConditionInput<string>,
  generation: number,
  now: Date,
): Condition[] {
  const existing = conditions ?? [];
  const previous = existing.find((each) => each.type === next.type);
  const condition: Condition = {
    type: next.type,
    status: next.status,
    observedGeneration: generation,
    lastTransitionTime: previous?.status === next.status ? previous.lastTransitionTime : now.toISOString().replace(/\.\d+Z$/, 'Z'),
    reason: toReason(next.reason),
    message: next.message.length > maxMessageLength ? `${next.message.slice(0, maxMessageLength - 1)}…` : next.message,
  };
  return previous ? existing.map((each) => (each === previous ? condition : each)) : [...existing, condition];
}

/** {@link setCondition} for several at once. */
export function setConditions(
  conditions: readonly Condition[] | undefined,
  next: readonly ConditionInput<string>[],
  generation: number,
  now: Date,
): Condition[] {
  return next.reduce<Condition[]>((list, each) => setCondition(list, each, generation, now), [...(conditions ?? [])]);
}

export function findCondition(conditions: readonly Condition[] | undefined, type: ConditionType): Condition | undefined {
  return conditions?.find((each) => each.type === type);
}

export function isTrue(conditions: readonly Condition[] | undefined, type: ConditionType): boolean {
  return findCondition(conditions, type)?.status === 'True';
}

/** Foreign reasons may be empty or hold characters that a condition's reason may not. */
function toReason(reason: string): string {
  const cleaned = reason.replace(/[^A-Za-z0-9_]/g, '').replace(/^[^A-Za-z]+/, '');
  return cleaned === '' ? reasons.unknown : cleaned.slice(0, 1024);
}
