import assert from 'node:assert/strict';
import { findCondition } from '../../src/api/conditions.ts';
import type { ConditionType } from '../../src/api/conditions.ts';
import { maxHistory } from '../../src/api/rollout-history.ts';
import type { R2RDeploymentStatus } from '../../src/api/r2rdeployment-status.ts';
import type { RolloutView } from '../../src/controllers/rollout-status.ts';
import type { RoleState } from '../../src/controllers/role-state.ts';
import { computeStatus } from '../../src/controllers/status.ts';
import type { Observation } from '../../src/controllers/status.ts';

const now = new Date('2026-01-01T01:00:00Z');
const tenMinutesAgo = new Date('2026-01-01T00:49:59Z');
const complete: RoleState = {
  wanted: 1,
  replicas: 1,
  updated: 1,
  ready: 1,
  complete: true,
  problem: undefined,
  deadlineExceeded: false,
  waitingSince: undefined,
};
const starting: RoleState = { ...complete, ready: 0, complete: false, waitingSince: now };
const gone: RoleState = { ...complete, wanted: 0, replicas: 0, updated: 0, ready: 0 };
const noRouter = { wanted: 1, ready: 0, problem: undefined };
const count = { replicas: 1, readyReplicas: 1, updatedReplicas: 1 };
const plain: RolloutView = {
  strategy: 'Surge',
  progressDeadlineSeconds: 600,
  suspended: false,
  paused: undefined,
  described: { slm: '/models/slm', llm: '/models/llm' },
  pods: 2,
  oldPods: 0,
  readySince: undefined,
};

const observation = (rollout: Partial<RolloutView> = {}, seen: Partial<Observation> = {}): Observation => ({
  generation: 1,
  now,
  endpoint: 'http://demo.default.svc',
  selector: 'a=b',
  target: 'aaaaaaaa',
  serving: 'aaaaaaaa',
  oldRevisions: false,
  rollout: { ...plain, ...rollout },
  slm: complete,
  llm: complete,
  router: { wanted: 1, ready: 1, problem: undefined },
  readyEngines: 1,
  total: { slm: count, llm: count },
  configDigest: 'd',
  networkUri: undefined,
  routers: [],
  unreachableRouters: 0,
  secrets: [],
  routing: undefined,
  awaitedBundle: undefined,
  probeProblem: undefined,
  stalled: undefined,
  ...seen,
});

const told = (status: R2RDeploymentStatus, ...types: ConditionType[]): string[] =>
  types.map((type) => {
    const condition = findCondition(status.conditions, type);
    return `${condition?.status} ${condition?.reason}`;
  });
const message = (status: R2RDeploymentStatus, type: ConditionType): string => findCondition(status.conditions, type)?.message ?? '';

describe('the status of a roll-out in place', () => {
  const replacing = { target: 'bbbbbbbb', serving: 'bbbbbbbb', oldRevisions: true, slm: starting, llm: starting, router: noRouter };

  it('tells the gap while old pods finish their requests', () => {
    const status = computeStatus(observation({ strategy: 'InPlace', pods: 0, oldPods: 3 }, replacing), undefined);
    assert.deepEqual(told(status, 'Ready', 'Reconciling', 'Stalled'), ['False RecreateGap', 'True RecreateGap', 'False NoProblem']);
    assert.match(
      message(status, 'Ready'),
      /^no request is answered: 3 pods of the old revision finish their requests and go, then revision bbbbbbbb/,
    );
  });

  it('has the reason of the new pods once there are some', () => {
    const problem = { reason: 'ImagePullBackOff', message: 'container engine: image x cannot be pulled' };
    const seen = { ...replacing, oldRevisions: false, llm: { ...starting, problem } };
    const status = computeStatus(observation({ strategy: 'InPlace', pods: 2 }, seen), undefined);
    assert.deepEqual(told(status, 'Ready', 'Reconciling'), ['False ImagePullBackOff', 'True Updating']);
  });
});

describe('the status under the strategy None', () => {
  const paused = { strategy: 'None', paused: { revision: 'bbbbbbbb' } } as const;

  it('is Ready and reached, and names the revision that waits', () => {
    const status = computeStatus(observation(paused), undefined);
    assert.deepEqual(told(status, 'Ready', 'Reconciling', 'Stalled'), ['True RolloutPaused', 'False RolloutPaused', 'False NoProblem']);
    assert.equal(message(status, 'Reconciling'), 'revision bbbbbbbb waits, because spec.rollout.strategy is None; revision aaaaaaaa stays');
    assert.deepEqual(status.revision, { serving: 'aaaaaaaa', target: 'bbbbbbbb' });
  });

  it('says so of pods that the same revision would have otherwise', () => {
    const status = computeStatus(observation({ ...paused, paused: { revision: 'aaaaaaaa' } }), undefined);
    assert.match(message(status, 'Ready'), /^http:\/\/demo\.default\.svc answers; a change of the pods of revision aaaaaaaa waits/);
  });

  it('stays reached when a pod falls ill, and tells that', () => {
    const reached = computeStatus(observation(paused), undefined);
    const ill = computeStatus(observation(paused, { llm: { ...starting, wanted: 2, replicas: 2, ready: 1 } }), reached);
    assert.deepEqual(told(ill, 'Ready', 'Reconciling', 'LLMReady'), ['True RolloutPaused', 'False RolloutPaused', 'False PodsNotReady']);
  });
});

describe('the status of a suspended deployment', () => {
  const suspended = { suspended: true };
  const nothing = { slm: gone, llm: gone, router: { wanted: 0, ready: 0, problem: undefined }, readyEngines: 0 };

  it('is reached and Ready by wish, as one that is scaled to zero', () => {
    const status = computeStatus(observation({ ...suspended, pods: 0 }, nothing), undefined);
    assert.deepEqual(told(status, 'Ready', 'Reconciling', 'Stalled'), ['True Suspended', 'False Suspended', 'False NoProblem']);
    assert.equal(message(status, 'Ready'), 'suspended by spec.suspend: no request is answered');
    assert.equal(status.summary?.slm, '0/0');
  });

  it('is Reconciling while pods finish their requests', () => {
    const seen = { ...nothing, slm: { ...gone, replicas: 1, complete: false } };
    const status = computeStatus(observation({ ...suspended, pods: 3 }, seen), undefined);
    assert.deepEqual(told(status, 'Reconciling'), ['True Suspended']);
    assert.match(message(status, 'Reconciling'), /3 pods still finish their requests$/);
  });
});

describe('a roll-out that does not get on', () => {
  const next = { target: 'bbbbbbbb', oldRevisions: true, router: noRouter };
  const late = { ...starting, waitingSince: tenMinutesAgo };
  const problem = { reason: 'CrashLoopBackOff', message: 'container engine ended: no such model' };

  it('waits within its time', () => {
    const status = computeStatus(observation({}, { ...next, llm: { ...starting, problem } }), undefined);
    assert.deepEqual(told(status, 'Ready', 'Stalled', 'Reconciling'), ['False CrashLoopBackOff', 'False NoProblem', 'True Updating']);
  });

  it("is Stalled after it, with the pod's own reason and what goes on answering, and no longer Reconciling", () => {
    const status = computeStatus(observation({}, { ...next, llm: { ...late, problem } }), undefined);
    assert.deepEqual(told(status, 'Stalled', 'Reconciling'), ['True CrashLoopBackOff', 'False CrashLoopBackOff']);
    assert.match(message(status, 'Stalled'), /no such model; not there within 600 s .*; revision aaaaaaaa goes on answering$/);
  });

  it('is Stalled when the pods say nothing, or the Deployment gave up first', () => {
    for (const llm of [late, { ...starting, deadlineExceeded: true }]) {
      const status = computeStatus(observation({}, { ...next, llm }), undefined);
      assert.deepEqual(told(status, 'Stalled'), ['True ProgressDeadlineExceeded']);
    }
  });

  it('is Stalled when the new revision is ready, but never answers its probe', () => {
    const seen = { target: 'bbbbbbbb', oldRevisions: true, probeProblem: 'the probe request was answered with 500' };
    assert.deepEqual(told(computeStatus(observation({ readySince: now }, seen), undefined), 'Stalled'), ['False NoProblem']);
    const status = computeStatus(observation({ readySince: tenMinutesAgo }, seen), undefined);
    assert.deepEqual(told(status, 'Stalled', 'Ready'), ['True ProbeFailed', 'False ProbeFailed']);
  });

  it('waits for room as long as it takes, and says what would help', () => {
    const full = { reason: 'InsufficientCapacity', message: '0/1 nodes are available: 1 Insufficient nvidia.com/gpu' };
    const status = computeStatus(observation({}, { ...next, llm: { ...late, problem: full, deadlineExceeded: true } }), undefined);
    assert.deepEqual(told(status, 'Ready', 'Reconciling', 'Stalled'), [
      'False InsufficientCapacity',
      'True InsufficientCapacity',
      'False NoProblem',
    ]);
    assert.match(message(status, 'Reconciling'), /room for both revisions: make room, or set spec\.rollout\.strategy to InPlace$/);
    const alone = computeStatus(observation({}, { llm: { ...late, problem: full } }), undefined);
    assert.ok(!message(alone, 'Reconciling').includes('InPlace'), 'a first revision is not helped by that');
  });

  it('is not what a pod is that falls ill after the roll-out was reached', () => {
    const reached = computeStatus(observation(), undefined);
    const ill = computeStatus(observation({}, { llm: { ...late, problem } }), reached);
    assert.deepEqual(told(ill, 'Stalled', 'Reconciling'), ['False NoProblem', 'False UpToDate']);
  });

  it('goes on at once with a new spec', () => {
    const stuck = computeStatus(observation({}, { ...next, llm: { ...late, problem } }), undefined);
    const mended = computeStatus(observation({}, { ...next, generation: 2, target: 'cccccccc', llm: starting }), stuck);
    assert.deepEqual(told(mended, 'Stalled', 'Reconciling'), ['False NoProblem', 'True Updating']);
  });
});

describe('the history of revisions', () => {
  it('grows when the endpoint moves, and describes what the spec was then', () => {
    const first = computeStatus(observation(), undefined);
    assert.deepEqual(first.history, [
      { revision: 'aaaaaaaa', servedSince: '2026-01-01T01:00:00Z', slm: '/models/slm', llm: '/models/llm' },
    ]);
    const described = { slm: '/models/slm', llm: '/models/other', changeCause: 'larger LLM' };
    const under = computeStatus(observation({ described }, { target: 'bbbbbbbb' }), first);
    assert.deepEqual(under.history, first.history, 'not before it moves');
    const moved = computeStatus(observation({ described }, { target: 'bbbbbbbb', serving: 'bbbbbbbb' }), under);
    assert.deepEqual(
      moved.history?.map(({ revision, llm }) => [revision, llm]),
      [
        ['bbbbbbbb', '/models/other'],
        ['aaaaaaaa', '/models/llm'],
      ],
    );
  });

  it('does not make a time up for a revision that served before there was a history', () => {
    const { history: _, ...old } = computeStatus(observation(), undefined);
    assert.deepEqual(computeStatus(observation(), old).history, [{ revision: 'aaaaaaaa', slm: '/models/slm', llm: '/models/llm' }]);
  });

  it('does not describe a revision by the spec that waits behind it', () => {
    const paused = { strategy: 'None', paused: { revision: 'bbbbbbbb' } } as const;
    assert.deepEqual(Object.keys(computeStatus(observation(paused), undefined).history?.[0] ?? {}), ['revision', 'servedSince']);
  });

  it('keeps the last ones', () => {
    let status: R2RDeploymentStatus | undefined;
    for (let turn = 0; turn < maxHistory + 5; turn += 1) {
      const revision = `revision${turn}`;
      status = computeStatus(observation({}, { target: revision, serving: revision }), status);
    }
    assert.equal(status?.history?.length, maxHistory);
    assert.equal(status.history[0]?.revision, `revision${maxHistory + 4}`);
  });
});
