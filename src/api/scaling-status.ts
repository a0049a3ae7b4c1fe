import { z } from 'zod';

/** How many decisions a pool's status keeps. */
export const keptDecisions = 5;
/** Of how many revisions it keeps the measured capacity: the one that answers, and the next. */
export const keptCapacities = 2;

const time = z.iso.datetime();
const perSecond = z.number().min(0);

const decision = z.object({
  at: time.describe('When it was made.'),
  from: z.int32().min(0).describe('Replicas wanted before.'),
  to: z.int32().min(0).describe('Replicas wanted since.'),
  reason: z.string().max(64).describe('CamelCase word for programs.'),
  message: z.string().max(1024).describe('What was wanted, and what kept it.'),
  demandPerSecond: perSecond.optional().describe('Average of what was asked for a second: calls of the LLM, drafted tokens of the SLM.'),
  capacityPerReplica: perSecond.optional().describe('What one replica can do a second.'),
  floor: z.int32().min(0).optional().describe('Replicas that the demand needs.'),
  reactive: z.int32().min(0).describe('Replicas that queues and KV caches need.'),
  ready: z.int32().min(0).describe('Replicas that were ready.'),
  pending: z.int32().min(0).describe('Replicas that were asked for and not ready yet.'),
  waitingRequests: z.int32().min(0).describe('Client requests that waited for a replica.'),
});

const capacity = z.object({
  revision: z.string().max(63),
  perSecond: perSecond.describe('What one replica can do a second.'),
  source: z.enum(['Benchmark', 'Traffic']).describe('`Benchmark`: of the test after the first replica was ready. `Traffic`: seen since.'),
  measuredAt: time,
});

const drain = z.object({
  pod: z.string().max(253).describe('Name of the pod.'),
  uid: z.string().max(64),
  since: time.describe('When the routers were told to send nothing there any more.'),
});

const pool = z.object({
  wantedReplicas: z.int32().min(0).optional().describe('What autoscaling wants; absent without it.'),
  decisions: z.array(decision).max(keptDecisions).optional().describe('The last changes, newest first.'),
  capacities: z.array(capacity).max(keptCapacities).optional().describe('Measured capacity of a replica, by revision.'),
  drains: z.array(drain).max(100).optional().describe('Pods to which nothing new is sent, so that they can go.'),
});

/** `status.scaling`. */
export const scalingStatusSchema = z.object({
  llm: pool.optional(),
  slm: pool.optional(),
});

export type ScalingStatus = z.infer<typeof scalingStatusSchema>;
export type PoolScalingStatus = z.infer<typeof pool>;
export type ScalingDecisionStatus = z.infer<typeof decision>;
export type CapacityStatus = z.infer<typeof capacity>;
export type DrainStatus = z.infer<typeof drain>;
