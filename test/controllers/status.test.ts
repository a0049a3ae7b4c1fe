import assert from 'node:assert/strict';
import { findCondition } from '../../src/api/conditions.ts';
import type { ConditionType } from '../../src/api/conditions.ts';
import type { R2RDeploymentStatus } from '../../src/api/r2rdeployment-status.ts';
import type { RoleState } from '../../src/controllers/role-state.ts';
import { computeStatus } from '../../src/controllers/status.ts';
import type { Observation } from '../../src/controllers/status.ts';

const role = (state: Partial<RoleState> = {}): RoleState => ({
  wanted: 1,
  replicas: 1,
  updated: 1,
  ready: 1,
  complete: true,
  problem: undefined,
  deadlineExceeded: false,
  ...state,
});
const starting: Partial<RoleState> = { ready: 0, complete: false };
const count = { replicas: 1, readyReplicas: 1, updatedReplicas: 1 };

const observation = (seen: Partial<Observation> = {}): Observation => ({
  generation: 1,
  now: new Date('2026-01-01T00:00:00Z'),
  endpoint: 'http://demo.default.svc',
  selector: 'a=b',
  target: 'aaaaaaaa',
  serving: 'aaaaaaaa',
  oldRevisions: false,
  slm: role(),
  llm: role(),
  router: { wanted: 1, ready: 1, problem: undefined },
  readyEngines: 1,
  total: { slm: count, llm: count },
  configDigest: 'd',
  routers: [],
  unreachableRouters: 0,
  routing: undefined,
  probeProblem: undefined,
  stalled: undefined,
  ...seen,
});

function told(status: R2RDeploymentStatus, type: ConditionType): string {
  const condition = findCondition(status.conditions, type);
  return `${condition?.status} ${condition?.reason}`;
}

describe('the status of an R2RDeployment', () => {
  it('is Ready and not Reconciling when both roles are complete', () => {
    const status = computeStatus(observation(), undefined);
    assert.equal(told(status, 'Ready'), 'True Serving');
    assert.equal(told(status, 'Reconciling'), 'False UpToDate');
    assert.equal(told(status, 'Stalled'), 'False NoProblem');
    assert.equal(status.observedGeneration, 1);
    assert.deepEqual(status.summary, { slm: '1/1', llm: '1/1' });
    assert.ok(status.conditions?.every(({ observedGeneration }) => observedGeneration === 1));
  });

  it('is Reconciling, with the reason of what it waits for, while pods start', () => {
    const status = computeStatus(observation({ llm: role(starting) }), undefined);
    assert.equal(told(status, 'Ready'), 'False PodsNotReady');
    assert.equal(told(status, 'Reconciling'), 'True Updating');
  });

  it("copies the LLM pod's own reason up, ahead of routers that only wait for it", () => {
    const problem = { reason: 'ImagePullBackOff', message: 'container engine: image x cannot be pulled' };
    const seen = observation({ llm: role({ ...starting, problem }), router: { wanted: 1, ready: 0, problem: undefined } });
    const status = computeStatus(seen, undefined);
    assert.equal(told(status, 'Ready'), 'False ImagePullBackOff');
    assert.equal(told(status, 'LLMReady'), 'False ImagePullBackOff');
    assert.equal(told(status, 'RouterReady'), 'False PodsNotReady');
  });

  it('is not Reconciling again when a pod falls ill after the roll-out was reached', () => {
    const reached = computeStatus(observation(), undefined);
    const ill = computeStatus(observation({ llm: role({ wanted: 2, replicas: 2, updated: 2, ready: 1, complete: false }) }), reached);
    assert.equal(told(ill, 'Reconciling'), 'False UpToDate');
    assert.equal(told(ill, 'Ready'), 'True Serving');
    assert.equal(told(ill, 'LLMReady'), 'False PodsNotReady');
    assert.equal(told(computeStatus(observation({ llm: role(starting) }), reached), 'Ready'), 'False PodsNotReady');
  });

  it('is Reconciling for a new generation until that one is complete', () => {
    const reached = computeStatus(observation(), undefined);
    const scaled = computeStatus(observation({ generation: 2, llm: role({ wanted: 2, complete: false }) }), reached);
    assert.equal(told(scaled, 'Reconciling'), 'True Updating');
    assert.equal(told(scaled, 'Ready'), 'True Serving');
  });

  it('is Ready, and still Reconciling, while old routers finish their answers behind the endpoint', () => {
    const status = computeStatus(observation({ oldRevisions: true }), undefined);
    assert.equal(told(status, 'Ready'), 'True Serving');
    assert.equal(told(status, 'Reconciling'), 'True Updating');
  });

  it('says which revision answers while another one is rolled out', () => {
    const status = computeStatus(observation({ target: 'bbbbbbbb', oldRevisions: true, probeProblem: 'no answer' }), undefined);
    assert.equal(told(status, 'Ready'), 'False ProbeFailed');
    assert.match(findCondition(status.conditions, 'Ready')?.message ?? '', /revision aaaaaaaa goes on answering/);
    assert.deepEqual(status.revision, { serving: 'aaaaaaaa', target: 'bbbbbbbb' });
  });

  it('is Stalled, not Reconciling, when the API server refused a child', () => {
    const stalled = { reason: 'ApplyFailed', message: 'Deployment x: spec.template is wrong' };
    const status = computeStatus(observation({ stalled }), undefined);
    assert.deepEqual(
      ['Ready', 'Stalled', 'Reconciling'].map((type) => told(status, type as ConditionType)),
      ['False ApplyFailed', 'True ApplyFailed', 'False ApplyFailed'],
    );
  });

  it('is Ready when scaled to zero', () => {
    const nothing = { wanted: 0, replicas: 0, updated: 0, ready: 0 };
    const seen = observation({
      slm: role(nothing),
      llm: role(nothing),
      router: { wanted: 0, ready: 0, problem: undefined },
      readyEngines: 0,
    });
    const status = computeStatus(seen, undefined);
    assert.equal(told(status, 'Ready'), 'True Serving');
    assert.equal(told(status, 'LLMReady'), 'True ScaledToZero');
  });

  it('moves a transition time only when the status of the condition changes', () => {
    const first = computeStatus(observation(), undefined);
    const later = computeStatus(observation({ now: new Date('2026-01-01T01:00:00Z') }), first);
    assert.deepEqual(later, first);
  });
});
