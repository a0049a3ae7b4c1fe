/** What the operator has settled about the pools, beside what the user wrote: never part of a stored resource. */
export interface PoolsInForce {
  /** Replicas of the LLM child: more than are wanted while pods are being drained. */
  readonly llmReplicas: number;
  /** LLM pods to which routers send nothing new. */
  readonly drainingPodUIDs: readonly string[];
  /** The LLM pool has no replica by policy, or the first one after that is still coming: routers keep requests waiting. */
  readonly llmScaledToZero: boolean;
  /** Children differ from this because the operator itself has just changed its mind. */
  readonly changing: boolean;
  /** LLM replicas of the revision that answers during a roll-out, where it is to have more than it has. */
  readonly servingLlmReplicas?: number;
  /** Why the LLM child has fewer replicas than are wanted. */
  readonly llmProblem?: { readonly reason: string; readonly message: string };
}
