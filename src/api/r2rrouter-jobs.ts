import { z } from 'zod';
import { objectName } from './endpoint-spec.ts';
import { image, podTemplate, resources } from './model-server.ts';
import { monitoringNamespace } from './monitoring-namespace.ts';
import { stepNames } from './step-identity.ts';

/** What Jobs are made for: the steps of the pipeline, training, and the bundle that routers load. */
export const jobNames = [...stepNames, 'train', 'bundle'] as const;
export type JobName = (typeof jobNames)[number];

const deadline = z.int32().min(1).max(31_536_000);

/** What every Job is set by. */
function job(requests: string, engine = '') {
  return z.object({
    deadlineSeconds: deadline.optional().describe('How long the Job may take in all. Left out: that of jobs.'),
    resources: resources.describe(`CPU and memory of the step's own container. Left out: requests of ${requests}.`),
    podTemplate: podTemplate.describe(`Overlay on the pod: its container is \`step\`${engine}.`),
  });
}

/** A step whose questions are spread over pods. */
function shardedJob(engine?: string) {
  return job('500m and 512Mi', engine).extend({
    shards: z
      .int32()
      .min(1)
      .max(64)
      .default(1)
      .describe(`Pods that share the questions${engine ? ', each with a model server of its own' : ''}. Never changes the result.`),
  });
}

/** A step that asks a model server. */
function askingJob() {
  return shardedJob(', its model server the init container `engine`').extend({
    concurrency: z.int32().min(1).max(4096).default(16).describe('Requests that a pod has under way at a time. Never changes the result.'),
  });
}

const steps = z
  .object({
    convert: job('500m and 512Mi').prefault({}).describe('Reads the data sets.'),
    respond: askingJob().prefault({}).describe('Asks the large model.'),
    prefill: askingJob().prefault({}).describe('Asks the small model.'),
    continue: askingJob().prefault({}).describe('Continues both branches of each difference.'),
    verify: askingJob().prefault({}).describe('Asks the verifier.'),
    construct: shardedJob().prefault({}).describe('Makes the label set.'),
    train: job('1 and 2Gi').prefault({}).describe('Trains the network.'),
    bundle: job('1 and 2Gi').prefault({}).describe('Makes the bundle, checks it and stores it.'),
  })
  .prefault({})
  .describe('Settings of single steps.');

/** How Jobs run. Nothing in here changes a result, so changing it runs no finished step again. */
export const jobsSchema = z.object({
  suspend: z
    .boolean()
    .default(false)
    .describe('Take the Jobs that run away and start none. What is finished stays; later each step goes on where it was.'),
  queueName: objectName('queueName', 'a LocalQueue', 63)
    .optional()
    .describe('Kueue queue: Jobs are made suspended, and Kueue starts them when there is room. Left out: they start at once.'),
  deadlineSeconds: deadline
    .optional()
    .describe('How long each Job may take in all, waiting for room included, but not waiting in a Kueue queue. Left out: any time.'),
  startDeadlineSeconds: deadline
    .optional()
    .describe(
      'How long pods may wait for room, such as for a GPU that never comes; then the Job is taken away and the step fails. Time in a Kueue queue does not count. Left out: for ever.',
    ),
  backoffLimit: z
    .int32()
    .min(0)
    .max(1000)
    .default(6)
    .describe('Pods of a step (of each of its shards) that may fail until it is given up.'),
  ttlSecondsAfterFinished: z
    .int32()
    .min(60)
    .max(31_536_000)
    .default(86_400)
    .describe('How long finished Jobs and their logs are kept. The results stay anyway.'),
  image: image.optional().describe("Image of the steps' programs. Left out: the one of the operator's version."),
  networkPolicy: z
    .object({
      monitoringNamespace: monitoringNamespace(
        "Namespace whose pods may scrape the metrics of the Jobs' pods (port 9090). Left out: only the operator may.",
      ),
    })
    .prefault({})
    .describe("Who may connect to the Jobs' pods, with a network plug-in that enforces NetworkPolicy."),
  steps,
});

export type JobsSpec = z.infer<typeof jobsSchema>;
