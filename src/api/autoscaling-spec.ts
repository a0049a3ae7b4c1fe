import { z } from 'zod';
import { rules } from './cel.ts';

/** Defaults of a pool's autoscaling; once released, they never change. */
export const autoscalingDefaults = {
  minReplicas: 1,
  targetUtilization: 0.7,
  tolerance: 0.1,
  latencyTargetMilliseconds: { llm: 200, slm: 50 },
  scaleUp: { windowSeconds: 0, maxStep: 4 },
  scaleDown: { windowSeconds: 300, maxStep: 1 },
  pendingDeadlineSeconds: 1200,
  idleSecondsBeforeZero: 600,
} as const;

/** What one pool does, in the words of its fields. */
const words = {
  llm: {
    unit: 'calls',
    capacity: 'calls a second',
    latency: '95 % of the calls for a token are answered within so many milliseconds',
  },
  slm: {
    unit: 'drafted tokens',
    capacity: 'drafted tokens a second',
    latency: '95 % of the drafts take at most so many milliseconds a token',
  },
} as const;

function pace(direction: 'scaleUp' | 'scaleDown', subject: string) {
  const { windowSeconds, maxStep } = autoscalingDefaults[direction];
  return z.object({
    windowSeconds: z
      .int32()
      .min(0)
      .max(3600)
      .default(windowSeconds)
      .describe(`How long ${subject} must have been wanted; of what was wanted in that time the mildest counts.`),
    maxStep: z.int32().min(1).max(100).default(maxStep).describe('Replicas changed by one decision at most.'),
  });
}

/** `spec.slm.autoscaling` and `spec.llm.autoscaling`. */
export function autoscalingSchema(pool: 'slm' | 'llm') {
  const { unit, capacity, latency } = words[pool];
  const lowest = pool === 'llm' ? 0 : 1;
  const schema = z.object({
    minReplicas: z
      .int32()
      .min(lowest)
      .max(100)
      .default(autoscalingDefaults.minReplicas)
      .describe(
        pool === 'llm'
          ? 'Fewest replicas. 0: the pool goes away while nobody asks for it; a request that comes then waits until it is back.'
          : 'Fewest replicas, at least 1: without a router nobody would see a request come.',
      ),
    maxReplicas: z.int32().min(1).max(100).describe('Most replicas.'),
    gpuBudget: z
      .int32()
      .min(1)
      .max(10_000)
      .optional()
      .describe('GPUs that the pods of this pool may use, those of an old revision included. Left out: no limit but maxReplicas.'),
    targetUtilization: z
      .number()
      .meta(rules({ rule: 'self >= 0.1 && self <= 1.0', message: 'targetUtilization: must be a share from 0.1 to 1, such as 0.7' }))
      .default(autoscalingDefaults.targetUtilization)
      .describe("Share of the replicas' capacity that the demand may use before another one is wanted."),
    capacityPerReplica: z
      .number()
      .meta(rules({ rule: 'self > 0.0 && self <= 1000000.0', message: `capacityPerReplica: must be ${capacity}, above 0` }))
      .optional()
      .describe(
        pool === 'llm'
          ? 'Calls a second that one replica can do. Left out: measured, by a test of 20 s after the first replica of a revision is ready and under traffic from then on.'
          : 'Drafted tokens a second that one replica can do. Left out: learnt under traffic.',
      ),
    latencyTargetMilliseconds: z
      .int32()
      .min(1)
      .max(60_000)
      .default(autoscalingDefaults.latencyTargetMilliseconds[pool])
      .describe(`What counts as capacity is the highest rate of ${unit} at which ${latency}.`),
    tolerance: z
      .number()
      .meta(rules({ rule: 'self >= 0.0 && self <= 0.5', message: 'tolerance: must be a share from 0 to 0.5, such as 0.1' }))
      .default(autoscalingDefaults.tolerance)
      .describe(
        'No replica is taken away while the demand is within this share of what the present replicas are meant for, nor where noise of up to this share would bring it back.',
      ),
    scaleUp: pace('scaleUp', 'more').prefault({}).describe('How fast replicas are added.'),
    scaleDown: pace('scaleDown', 'fewer').prefault({}).describe('How fast replicas are taken away.'),
    pendingDeadlineSeconds: z
      .int32()
      .min(10)
      .max(86_400)
      .default(autoscalingDefaults.pendingDeadlineSeconds)
      .describe(
        'A replica that is not ready after so long counts as one that will not come: no more are asked for, and condition ScalingReady says InsufficientCapacity.',
      ),
    idleSecondsBeforeZero: z
      .int32()
      .min(10)
      .max(86_400)
      .default(autoscalingDefaults.idleSecondsBeforeZero)
      .describe('With minReplicas 0: how long nobody must have asked for the LLM before its last replica goes.'),
  });
  const bounds = rules({
    rule: 'self.minReplicas <= self.maxReplicas',
    message: 'autoscaling: minReplicas is above maxReplicas; lower minReplicas or raise maxReplicas',
  });
  return pool === 'llm' ? schema.meta(bounds) : schema.omit({ idleSecondsBeforeZero: true }).meta(bounds);
}

export type AutoscalingSpec = z.infer<ReturnType<typeof autoscalingSchema>> & {
  /** The LLM's alone. */
  readonly idleSecondsBeforeZero?: number;
};

/** Of a whole model server: what one replica needs is known only there. */
export function gpuBudgetRule(pool: 'slm' | 'llm') {
  const gpus = `(has(self.tensorParallelSize) ? self.tensorParallelSize : ${pool === 'llm' ? 2 : 1})`;
  const least = '(self.autoscaling.minReplicas > 0 ? self.autoscaling.minReplicas : 1)';
  return {
    rule: `self.engine == 'CPU' || !has(self.autoscaling) || !has(self.autoscaling.gpuBudget) || self.autoscaling.gpuBudget >= ${least} * ${gpus}`,
    message:
      'autoscaling.gpuBudget: is too small for minReplicas (at least one) of tensorParallelSize GPUs each; raise gpuBudget or lower minReplicas',
  };
}
