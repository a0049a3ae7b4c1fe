/** Resources, children and pods in states that people meet, as an operator and a kubelet write them. */
import { labels } from '../../../src/api/names.ts';
import { stepLabels } from '../../../src/api/r2rrouter-names.ts';
import type { RouterStatus } from '../../../src/api/router-status.ts';
import type { R2RDeploymentStatus } from '../../../src/api/r2rdeployment-status.ts';
import type { R2RRouterStatus } from '../../../src/api/r2rrouter-status.ts';

export const revisions = { old: '7c9f1a2b', next: '81d0aa31' } as const;
export const digest = 'aaaaaaaa1'.padEnd(64, '0');

/** So long before `now`, as the API server writes times. */
export function ago(now: Date, seconds: number): string {
  return new Date(now.getTime() - seconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
}

const condition = (now: Date, type: string, status: 'True' | 'False' | 'Unknown', reason: string, message: string, seconds = 120) => ({
  ...{ type, status, reason, message },
  observedGeneration: 1,
  lastTransitionTime: ago(now, seconds),
});

/** A roll-out that does not get on: the LLM's new image cannot be pulled, and the old revision goes on answering. */
export function rollingStatus(now: Date): R2RDeploymentStatus {
  const image = 'image registry.example/llm:typo cannot be pulled: Back-off pulling image "registry.example/llm:typo"';
  const llm = `0 of 1 replicas are ready; container engine: ${image}`;
  return {
    observedGeneration: 1,
    conditions: [
      condition(now, 'Ready', 'False', 'ImagePullBackOff', `${llm}; revision ${revisions.old} goes on answering`),
      condition(now, 'Reconciling', 'True', 'Updating', `revision ${revisions.next} is being rolled out`),
      condition(now, 'Stalled', 'False', 'NoProblem', 'nothing stands in the way', 7200),
      condition(now, 'SLMReady', 'True', 'UpToDate', '1 of 1 replicas are ready', 7200),
      condition(now, 'LLMReady', 'False', 'ImagePullBackOff', llm),
      condition(now, 'RouterReady', 'True', 'UpToDate', '1 of 1 routers are ready and run the wanted configuration', 7200),
    ],
    endpoint: 'http://chat.models.svc',
    revision: { serving: revisions.old, target: revisions.next },
    slm: { replicas: 2, readyReplicas: 2, updatedReplicas: 1 },
    llm: { replicas: 2, readyReplicas: 1, updatedReplicas: 1 },
    routing: { ratio: 0.13, tokensPerSecond: 140, averageActivatedParams: 5.6e9 },
    router: { configDigest: 'c'.repeat(64), strategy: 'neural', threshold: 0.881235, bundle: { digest, precision: 'int8' } },
    summary: { slm: '1/1', llm: '0/1', llmRatio: '13%', tokensPerSecond: '140', params: '5.6B' },
  };
}

/** A router whose second step runs and whose first bundle is being rolled out. */
export function runningRouterStatus(now: Date): R2RRouterStatus {
  return {
    observedGeneration: 1,
    phase: 'Running',
    conditions: [
      condition(now, 'Ready', 'True', 'Done', `bundle ${digest.slice(0, 12)} is offered`, 7200),
      condition(now, 'Reconciling', 'True', 'Running', 'step respond: 370 of 1000 questions'),
      condition(now, 'Stalled', 'False', 'NoProblem', 'nothing stands in the way'),
      condition(now, 'GatePassed', 'Unknown', 'NoBundle', 'no bundle of this spec has been made yet'),
    ],
    steps: [
      { name: 'convert', state: 'Done', hash: '1'.repeat(64), rows: { questions: 1000 } },
      {
        ...{ name: 'respond', state: 'Running', hash: '2'.repeat(64), attempts: 2, shards: 2, shardsDone: 0 },
        progress: {
          unit: 'questions',
          done: 370,
          total: 1000,
          perSecond: 2.1,
          etaSeconds: 300,
          tokensPerSecond: 1400,
          engineUtilisation: 0.9,
        },
      },
      { name: 'prefill', state: 'Waiting' },
      {
        ...{ name: 'train', state: 'Failed', hash: '3'.repeat(64) },
        failure: {
          ...{ code: 'TRAINER_COLUMN', field: 'divergent', message: 'the label set has no column divergent; run construct again' },
          ...{ retryable: false, at: ago(now, 60), generation: 1 },
        },
      },
    ],
    labels: { identical: 9000, neutral: 2000, divergent: 1000, unknown: 0, questions: 40, rows: 12_000 },
    candidate: { digest: 'bbbbbbbb2'.padEnd(64, '0'), recall: 0.8, positiveRate: 0.2 },
    bundle: { digest, uri: `pvc://math-workspace/store/${digest}`, recall: 0.961, positiveRate: 0.119, threshold: 0.881 },
    deployments: [
      { name: 'chat', state: 'Observing', digest, since: ago(now, 60) },
      {
        name: 'search',
        state: 'RolledBack',
        digest,
        message: 'its routers refused the bundle: hidden size 896 is not 1536',
        since: ago(now, 600),
      },
    ],
  };
}

type Role = 'slm' | 'llm';

const container = (name: string, image = `registry.example/${name}:1`) => ({ name, image });
const running = (name: string, now: Date, restartCount = 0) => ({
  ...{ name, ready: true, started: true, restartCount, image: `registry.example/${name}:1`, imageID: `sha256:${name}` },
  state: { running: { startedAt: ago(now, 3600) } },
});

/** A pod of a role, whole and ready. @param adminPort - of the router of an SLM pod */
export function readyPod(now: Date, instance: string, revision: string, role: Role, suffix: string, node: string, adminPort = 9090) {
  const isSlm = role === 'slm';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `${instance}-${revision}-${role}-5d4f8d9c7-${suffix}`,
      labels: labels(instance, revision, role),
      creationTimestamp: ago(now, 7200),
    },
    spec: {
      nodeName: node,
      ...(isSlm && { initContainers: [{ ...container('engine'), restartPolicy: 'Always' }] }),
      containers: isSlm
        ? [
            {
              ...container('router'),
              ports: [
                { name: 'http', containerPort: 8000 },
                { name: 'admin', containerPort: adminPort },
              ],
            },
          ]
        : [container('engine')],
    },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True' }],
      ...(isSlm && { initContainerStatuses: [running('engine', now)] }),
      containerStatuses: [running(isSlm ? 'router' : 'engine', now)],
    },
  };
}

export function imagePullPod(now: Date, instance: string, revision: string, suffix: string, node: string) {
  const pod = readyPod(now, instance, revision, 'llm', suffix, node);
  const image = 'registry.example/llm:typo';
  return {
    ...pod,
    metadata: { ...pod.metadata, creationTimestamp: ago(now, 125) },
    status: {
      phase: 'Pending',
      conditions: [{ type: 'Ready', status: 'False' }],
      containerStatuses: [
        {
          ...{ name: 'engine', ready: false, started: false, restartCount: 0, image, imageID: '' },
          state: { waiting: { reason: 'ImagePullBackOff', message: `Back-off pulling image "${image}"` } },
        },
      ],
    },
  };
}

export function crashingPod(now: Date, instance: string, revision: string, suffix: string, node: string) {
  const pod = readyPod(now, instance, revision, 'llm', suffix, node);
  return {
    ...pod,
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'False' }],
      containerStatuses: [
        {
          ...{
            name: 'engine',
            ready: false,
            started: false,
            restartCount: 7,
            image: 'registry.example/engine:1',
            imageID: 'sha256:engine',
          },
          state: { waiting: { reason: 'CrashLoopBackOff', message: 'back-off 5m0s restarting failed container' } },
          lastState: {
            terminated: {
              ...{ exitCode: 1, reason: 'Error', startedAt: ago(now, 90), finishedAt: ago(now, 60) },
              message: 'torch.OutOfMemoryError: CUDA out of memory; lower memFractionStatic',
            },
          },
        },
      ],
    },
  };
}

export function unschedulablePod(now: Date, instance: string, revision: string, suffix: string) {
  const { spec, ...pod } = readyPod(now, instance, revision, 'llm', suffix, '');
  const { nodeName: _, ...rest } = spec;
  return {
    ...pod,
    spec: rest,
    status: {
      phase: 'Pending',
      conditions: [
        {
          type: 'PodScheduled',
          status: 'False',
          reason: 'Unschedulable',
          message: '0/3 nodes are available: 3 Insufficient nvidia.com/gpu.',
        },
      ],
    },
  };
}

export function stepPod(now: Date, router: string, step: 'respond', shard: number, node: string, port = 9090) {
  const hash = '2'.repeat(64);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `${router}-${step}-${hash.slice(0, 8)}-${shard}-xyz12`,
      labels: stepLabels(router, step, hash.slice(0, 63)),
      creationTimestamp: ago(now, 600),
    },
    spec: { nodeName: node, containers: [{ ...container('step'), ports: [{ name: 'status', containerPort: port }] }] },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }], containerStatuses: [running('step', now)] },
  };
}

/** @param calls - started on LLM replicas since the start */
export function routerAnswer(calls: number, overrides: Partial<RouterStatus> = {}): RouterStatus {
  return {
    configDigest: 'c'.repeat(64),
    strategy: 'neural',
    threshold: 0.881235,
    bundle: { state: 'Serving', digest, precision: 'int8' },
    alarms: [],
    waitingFor: [],
    inFlight: 3,
    tokensTotal: { slm: 8000, llm: 1200, fallback: 60 },
    window: { seconds: 60, tokens: { slm: 8600, llm: 1300, fallback: 100 }, tokensPerSecond: 166.7, requests: { total: 10, failed: 0 } },
    llmCalls: { started: calls, wasted: 10 },
    parameters: { slm: 1.5e9, llm: 32e9 },
    llmEndpoints: [
      { address: 'http://10.0.0.1:30000', ready: true, draining: false, inFlight: 1 },
      { address: 'http://10.0.0.2:30000', ready: false, draining: false, inFlight: 0 },
    ],
    ...overrides,
  };
}
