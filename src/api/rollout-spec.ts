import { z } from 'zod';

/** How a changed spec reaches the pods. None is a hold: what is there stays. */
export const rolloutStrategies = ['Surge', 'InPlace', 'None'] as const;
export type RolloutStrategy = (typeof rolloutStrategies)[number];

/** `spec.rollout`. No part of the revision: it says how one follows the other. */
export const rolloutSchema = z.object({
  strategy: z
    .enum(rolloutStrategies)
    .default('Surge')
    .describe(
      '`Surge`: the new revision is made beside the old one, which answers until the new one has answered a probe; needs room for both. ' +
        '`InPlace`: the old revision finishes its requests and goes, then the new one is made; needs no further GPU, and nothing answers in between. ' +
        '`None`: no pod is replaced; a changed spec waits until this is another strategy. Threshold, strategy and bundle of the routers change without new pods in any case.',
    ),
  progressDeadlineSeconds: z
    .int32()
    .min(10)
    .max(86_400)
    .default(1500)
    .describe(
      'Seconds after which pods that are still not ready are reported as Stalled, with their own reason. Must be above the time an engine takes to start; with placement Colocated, the times of both engines together. Nothing is taken back: under Surge the old revision goes on answering.',
    ),
});

export type RolloutSpec = z.infer<typeof rolloutSchema>;

/** `spec.suspend`. */
export const suspend = z
  .boolean()
  .default(false)
  .describe(
    'Take all pods down once they have finished their requests, and keep everything else: the endpoint Service stays and refuses connections. False again: the pods come back.',
  );
