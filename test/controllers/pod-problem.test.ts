import assert from 'node:assert/strict';
import { creationProblem, podProblem } from '../../src/controllers/pod-problem.ts';
import type { Deployment, Pod } from '../../src/kube/resources.ts';

type ContainerStatus = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];

const container = (name: string, status: Partial<ContainerStatus>): ContainerStatus => ({
  name,
  image: 'registry.example/engine:1',
  imageID: '',
  ready: false,
  restartCount: 0,
  ...status,
});
const pod = (status: Pod['status'], metadata: Pod['metadata'] = { name: 'p' }): Pod => ({ metadata, ...(status && { status }) });
const engine = (status: Partial<ContainerStatus>): Pod => pod({ initContainerStatuses: [container('engine', status)] });

describe('the problem of a pod', () => {
  it('is none while its containers start', () => {
    assert.equal(podProblem([engine({ state: { waiting: { reason: 'PodInitializing' } } })], ['engine']), undefined);
  });

  it('is the image that cannot be pulled, under one name for both of the reasons that alternate', () => {
    for (const reason of ['ErrImagePull', 'ImagePullBackOff']) {
      const problem = podProblem([engine({ state: { waiting: { reason, message: 'not found' } } })], ['engine']);
      assert.equal(problem?.reason, 'ImagePullBackOff');
      assert.equal(problem.message, 'container engine: image registry.example/engine:1 cannot be pulled: not found');
    }
  });

  it('is what a crashed container said last, also while it runs again', () => {
    const said = 'loading\nr2r engine: model folder /nowhere does not exist';
    const lastState = { terminated: { exitCode: 1, message: said } };
    const problem = podProblem([engine({ lastState, state: { running: {} } })], ['engine']);
    assert.equal(problem?.reason, 'CrashLoopBackOff');
    assert.match(problem.message, /container engine ended: .*model folder \/nowhere does not exist/);
  });

  it('is not the crash of yesterday when the container has started since and is unready now', () => {
    const lastState = { terminated: { exitCode: 1, message: 'long ago' } };
    assert.equal(podProblem([engine({ lastState, started: true, state: { running: {} } })], ['engine']), undefined);
  });

  it('names a container killed for memory', () => {
    const problem = podProblem([engine({ lastState: { terminated: { exitCode: 137, reason: 'OOMKilled' } } })], ['engine']);
    assert.equal(problem?.reason, 'OOMKilled');
  });

  it('says that a container was killed, with its last words beside it, not as the reason, and without colours', () => {
    const terminated = { exitCode: 137, reason: 'Error', message: '\u001b[0;93mno CA bundle was found\u001b[m' };
    const problem = podProblem([engine({ lastState: { terminated } })], ['engine']);
    assert.equal(
      problem?.message,
      'container engine ended: it was killed (SIGKILL, exit code 137); its log ends with: no CA bundle was found',
    );
  });

  it('tells a full cluster from a pod that can never be placed', () => {
    const unscheduled = (message: string): Pod =>
      pod({ conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }] });
    assert.equal(
      podProblem([unscheduled('0/1 nodes are available: 1 Insufficient nvidia.com/gpu.')], ['engine'])?.reason,
      'InsufficientCapacity',
    );
    assert.equal(podProblem([unscheduled('persistentvolumeclaim "models" not found')], ['engine'])?.reason, 'Unschedulable');
  });

  it('is not that of another container, of a ready pod, or of one that is being deleted', () => {
    const crashed = { lastState: { terminated: { exitCode: 1 } } };
    assert.equal(podProblem([pod({ containerStatuses: [container('router', crashed)] })], ['engine']), undefined);
    const ready = { conditions: [{ type: 'Ready', status: 'True' }], initContainerStatuses: [container('engine', crashed)] };
    assert.equal(podProblem([pod(ready)], ['engine']), undefined);
    const ending = { name: 'p', deletionTimestamp: '2026-01-01T00:00:00Z' };
    assert.equal(podProblem([pod({ initContainerStatuses: [container('engine', crashed)] }, ending)], ['engine']), undefined);
  });

  it('is the quota or policy that keeps pods from being made, which only the Deployment knows', () => {
    const failing: Deployment = {
      status: { conditions: [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message: 'exceeded quota' }] },
    };
    assert.deepEqual(creationProblem(failing), { reason: 'FailedCreate', message: 'exceeded quota' });
    assert.equal(creationProblem({ status: {} }), undefined);
  });
});
