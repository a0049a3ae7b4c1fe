import { z } from 'zod';
import { conditionSchema } from './r2rdeployment-status.ts';
import { jobNames } from './r2rrouter-jobs.ts';

/** `Ready`: a bundle passed the gate and is offered. The first three are those that kstatus reads. */
export const routerConditionTypes = ['Ready', 'Reconciling', 'Stalled', 'JobsReady', 'GatePassed', 'RolledOut'] as const;
export type RouterConditionType = (typeof routerConditionTypes)[number];

/**
 * Reasons this project sets itself; a pod's own reason is copied up beside them, and the code of a program that says what is wrong, in
 * CamelCase (`PIPELINE_COLUMN` is `PipelineColumn`).
 */
export const routerReasons = {
  running: 'Running',
  suspended: 'Suspended',
  done: 'Done',
  /** A Job waits for room in Kueue's queue. */
  queued: 'Queued',
  /** Pods wait for room: the scheduler finds no node for them. */
  insufficientCapacity: 'InsufficientCapacity',
  /** Pods waited for room longer than jobs.startDeadlineSeconds. */
  startDeadlineExceeded: 'StartDeadlineExceeded',
  /** A Job took longer than its deadlineSeconds. */
  deadlineExceeded: 'DeadlineExceeded',
  /** Pods of a step failed more often than jobs.backoffLimit. */
  backoffLimitExceeded: 'BackoffLimitExceeded',
  /** A step failed and is tried again later. */
  retrying: 'Retrying',
  gatePassed: 'GatePassed',
  recallTooLow: 'RecallTooLow',
  positiveRateTooHigh: 'PositiveRateTooHigh',
  notBetter: 'NotBetterThanCurrent',
  /** The bundle in use was measured at a recall that is not gate.minRecall any more. */
  comparedAtAnotherRecall: 'ComparedAtAnotherRecall',
  notMeasured: 'NotMeasured',
  noBundle: 'NoBundle',
  /** No R2RDeployment follows this router. */
  noFollowers: 'NoFollowers',
  /** Deployments get the bundle, one after the other. */
  rollingOut: 'RollingOut',
  rolledOut: 'RolledOut',
  /** A deployment went back to the bundle before; the others keep theirs. */
  rolledBack: 'RolledBack',
  specInvalid: 'SpecInvalid',
  noProblem: 'NoProblem',
} as const;

export const phases = ['Pending', 'Running', 'Suspended', 'Failed', 'Refused', 'Ready'] as const;
export type RouterPhase = (typeof phases)[number];

export const stepStates = ['Waiting', 'Pending', 'Running', 'Retrying', 'Done', 'Failed'] as const;
export type StepState = (typeof stepStates)[number];

const hash = z.string().max(64);
const count = z.int().min(0);
const share = z.number().min(0).max(1);
const time = z.iso.datetime();

/** What a step says of itself while it runs, its shards added up. */
const progress = z.object({
  unit: z.string().max(64).describe('What is counted, such as questions.'),
  done: count,
  total: count,
  perSecond: z.number().min(0).optional(),
  etaSeconds: count.optional().describe('Estimate of what is left.'),
  tokensPerSecond: z.number().min(0).optional().describe('Tokens of the model server a second.'),
  engineUtilisation: share.optional().describe('How full the model server was kept.'),
});

/** Why a step does not go on. */
const failure = z.object({
  code: z.string().max(128).describe('Stable code of the error, or reason of the pod or Job.'),
  shard: z.int32().min(0).optional(),
  field: z.string().max(256).optional().describe('Field or column at fault.'),
  message: z.string().max(2048).describe('What is wrong, and what to do about it.'),
  retryable: z.boolean().describe('Whether it is tried again by itself.'),
  at: time.describe('When it was seen.'),
  generation: count.describe('metadata.generation it was seen with: a change of the spec has the step tried again.'),
});

const step = z.object({
  name: z.enum(jobNames),
  hash: hash.optional().describe('Of its inputs: an unchanged step is never run again. Absent while a step before it runs.'),
  state: z.enum(stepStates),
  digest: hash.optional().describe('sha256 of its result.'),
  rows: z.record(z.string(), count).meta({ maxProperties: 16 }).optional().describe('Rows of its tables.'),
  counts: z.record(z.string(), count).meta({ maxProperties: 64 }).optional().describe('What it counted.'),
  shardsDone: count.optional(),
  shards: count.optional(),
  attempts: count.optional().describe('Jobs that were made for this hash.'),
  progress: progress.optional(),
  failure: failure.optional(),
  startedAt: time.optional(),
  finishedAt: time.optional(),
});

const metrics = {
  recall: share.optional().describe('Share of the divergent tokens of the test rows that go to the LLM.'),
  positiveRate: share.optional().describe('Share of all tokens of the test rows that go to the LLM.'),
  threshold: share.optional(),
};

const bundle = z.object({
  digest: hash.describe('sha256 of the bundle.'),
  uri: z.string().max(2048).describe('Where routers get it.'),
  hash: hash.describe('Of the inputs of the step that made it.'),
  ...metrics,
  rows: count.optional().describe('Test rows these were measured on.'),
  comparedWith: z
    .object({
      digest: hash.optional(),
      recall: share,
      positiveRate: share,
      minRecall: share.optional().describe('gate.minRecall at that time: its threshold was chosen for it.'),
    })
    .optional()
    .describe('The bundle in use at that time, on the same rows, at the same recall.'),
  gate: z.enum(['Passed', 'Refused']),
  message: z.string().max(1024).describe('Why.'),
  madeAt: time,
});

/** `Waiting`: another deployment comes first. `Observing`: it runs with the bundle, and its routers are watched. */
export const followerStates = ['Waiting', 'Updating', 'Observing', 'Done', 'RolledBack'] as const;

const follower = z.object({
  name: z.string().max(253).describe('R2RDeployment that follows this router.'),
  digest: hash.optional().describe('Bundle that it is to use. Absent: none yet.'),
  state: z.enum(followerStates),
  previous: hash.optional().describe('Bundle to which it goes back if its routers report errors or an alarm.'),
  refused: hash.optional().describe('Bundle from which it went back. It is not tried again before spec.rollout or the bundle changes.'),
  specHash: hash.optional().describe('Of spec.rollout when it went back.'),
  message: z.string().max(1024).optional(),
  since: time.optional().describe('When this state began.'),
});

export const routerStatusSchema = z.object({
  observedGeneration: count.optional().describe('metadata.generation this status is about.'),
  conditions: z
    .array(conditionSchema)
    .max(16)
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] })
    .optional()
    .describe('Ready, Reconciling, Stalled, JobsReady, GatePassed, RolledOut.'),
  phase: z.enum(phases).optional(),
  steps: z
    .array(step)
    .max(16)
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] })
    .optional()
    .describe('Steps in the order they run.'),
  labels: z
    .object({ identical: count, neutral: count, divergent: count, unknown: count, questions: count, rows: count })
    .optional()
    .describe('The label set.'),
  candidate: z
    .object({ digest: hash.optional(), ...metrics })
    .optional()
    .describe('The newest router, whatever the gate says.'),
  bundle: z
    .object({ digest: hash, uri: z.string().max(2048), ...metrics })
    .optional()
    .describe('What deployments that follow get.'),
  history: z.array(bundle).max(256).meta({ 'x-kubernetes-list-type': 'atomic' }).optional().describe('Bundles, the newest first.'),
  deployments: z
    .array(follower)
    .max(1000)
    .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] })
    .optional()
    .describe('Roll-out to each deployment.'),
  schedule: z
    .object({ runs: count.describe('Times the data sets were read again.'), lastRunAt: time })
    .optional()
    .describe('The newest repetition.'),
  summary: z
    .object({
      step: z.string().max(64).optional().describe('Step that runs.'),
      progress: z.string().max(64).optional().describe('How far it is: 37%.'),
      recall: z.string().max(32).optional(),
      positiveRate: z.string().max(32).optional(),
    })
    .optional()
    .describe('Strings for kubectl get.'),
});

export type R2RRouterStatus = z.infer<typeof routerStatusSchema>;
export type RouterStepStatus = z.infer<typeof step>;
export type RouterStepFailure = z.infer<typeof failure>;
export type RouterBundleRecord = z.infer<typeof bundle>;
export type RouterFollower = z.infer<typeof follower>;
