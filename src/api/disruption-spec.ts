import { z } from 'zod';

/** `spec.podDisruptionBudget`. */
export const disruptionSchema = z.object({
  enabled: z
    .boolean()
    .default(true)
    .describe(
      'Let a node be drained only as long as at most one SLM pod and one LLM pod of a revision are not ready. Pods that are not ready themselves may always be evicted. With a single replica this keeps nothing up.',
    ),
});
