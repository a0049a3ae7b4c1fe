import assert from 'node:assert/strict';
import { engineFailure } from '../../src/api/engine-plan.ts';
import type { RouterStatus } from '../../src/api/router-status.ts';
import { colocatedRoles } from '../../src/controllers/colocated-state.ts';
import type { Pod } from '../../src/kube/resources.ts';

const none = { slm: 0, llm: 0, fallback: 0 };
const router = (slmReady: boolean | undefined, llmReady: boolean): RouterStatus => ({
  configDigest: 'd',
  strategy: 'entropy',
  alarms: [],
  waitingFor: [],
  ...(slmReady !== undefined && { slmReady }),
  inFlight: 0,
  tokensTotal: none,
  window: { seconds: 60, tokens: none, tokensPerSecond: 0 },
  parameters: {},
  llmEndpoints: [{ address: 'a', ready: llmReady, draining: false, inFlight: 0 }],
});
const container = (name: string, ready: boolean, more: object = {}) => ({
  name,
  ready,
  started: true,
  restartCount: 0,
  image: 'i',
  imageID: 'i',
  state: { running: {} },
  ...more,
});
const unit = (podIP: string, engineReady: boolean, routerReady: boolean, engine: object = {}): Pod => ({
  metadata: { name: podIP },
  status: {
    podIP,
    initContainerStatuses: [container('engine', engineReady, engine)],
    containerStatuses: [container('router', routerReady)],
  },
});
const deployment = {
  metadata: { generation: 1 },
  spec: { replicas: 2 },
  status: { observedGeneration: 1, replicas: 2, updatedReplicas: 2, readyReplicas: 0 },
};

describe('the roles of Colocated units', () => {
  it('are ready when the container of both engines is, or the router of the unit says so', () => {
    const pods = [unit('a', true, false), unit('b', false, false), unit('c', false, false), unit('d', false, false)];
    const answers = new Map([
      ['b', router(true, false)],
      ['c', router(true, true)],
      ['d', undefined],
    ]);
    const { slm, llm, readyEngines } = colocatedRoles(4, deployment, pods, answers);
    assert.deepEqual([slm.ready, readyEngines, llm.ready], [3, 3, 2]);
  });

  it('are not ready for a router that does not say, nor for a unit that is ending', () => {
    const ending = { ...unit('b', true, true), metadata: { name: 'b', deletionTimestamp: '2026-01-01T00:00:00Z' } };
    const { readyEngines, llm } = colocatedRoles(
      2,
      deployment,
      [unit('a', false, false), ending],
      new Map([['a', router(undefined, false)]]),
    );
    assert.deepEqual([readyEngines, llm.ready], [0, 0]);
  });

  it('count a router only with both engines of its unit: without its LLM the pod gets no requests, though the router could answer', () => {
    const answers = new Map([['a', router(true, false)]]);
    const { router: routers, slm, llm } = colocatedRoles(2, deployment, [unit('a', false, true), unit('b', true, true)], answers);
    assert.deepEqual([routers.ready, slm.ready, llm.ready], [1, 2, 1]);
  });

  for (const [name, other] of [
    ['slm', 'llm'],
    ['llm', 'slm'],
  ] as const) {
    const terminated = { exitCode: 1, reason: 'Error', message: `first\n${engineFailure(name, 'ended with exit status 1')}\n` };
    it(`blame the ${name} alone when the launcher's last words name it, also while both are being started again`, () => {
      for (const state of [{ waiting: { reason: 'CrashLoopBackOff' } }, { running: {} }]) {
        const pods = [unit('a', false, false, { state, lastState: { terminated } })];
        const roles = colocatedRoles(1, deployment, pods, new Map());
        assert.equal(roles[name].problem?.reason, 'CrashLoopBackOff');
        assert.equal(roles[other].problem, undefined);
        assert.equal(roles[other].ready, 0);
      }
    });
  }

  it('both have a problem that is neither engine’s, such as no room', () => {
    const scheduled = { type: 'PodScheduled', status: 'False', message: '0/1 nodes are available: 1 Insufficient nvidia.com/gpu.' };
    const { slm, llm } = colocatedRoles(1, deployment, [{ metadata: { name: 'a' }, status: { conditions: [scheduled] } }], new Map());
    assert.deepEqual([slm.problem?.reason, llm.problem?.reason], ['InsufficientCapacity', 'InsufficientCapacity']);
  });

  it('forget an earlier crash when both engines are there again', () => {
    const terminated = { exitCode: 1, reason: 'Error', message: engineFailure('llm', 'ended with signal 9') };
    const pods = [unit('a', true, true, { lastState: { terminated } })];
    const { llm } = colocatedRoles(1, deployment, pods, new Map());
    assert.equal(llm.problem, undefined);
  });
});
