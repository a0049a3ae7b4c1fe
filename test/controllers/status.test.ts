import assert from 'node:assert/strict';
import { findCondition } from '../../src/api/conditions.ts';
import type { ConditionType } from '../../src/api/conditions.ts';
import type { R2RDeploymentStatus } from '../../src/api/r2rdeployment-status.ts';
import type { RoleState } from '../../src/controllers/role-state.ts';
import type { RouterStatus } from '../../src/api/router-status.ts';
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
  waitingSince: undefined,
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
  rollout: {
    strategy: 'Surge',
    progressDeadlineSeconds: 600,
    suspended: false,
    paused: undefined,
    described: { slm: '/models/slm', llm: '/models/llm' },
    pods: 2,
    oldPods: 0,
    readySince: undefined,
  },
  slm: role(),
  llm: role(),
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

const routerStatus = (said: Partial<RouterStatus> = {}): RouterStatus => ({
  configDigest: 'd',
  strategy: 'neural',
  threshold: 0.40595959595959596,
  alarms: [],
  waitingFor: [],
  inFlight: 0,
  tokensTotal: { slm: 0, llm: 0, fallback: 0 },
  window: { seconds: 60, tokens: { slm: 0, llm: 0, fallback: 0 }, tokensPerSecond: 0 },
  parameters: {},
  llmEndpoints: [],
  ...said,
});
const noRouterReady = { wanted: 1, ready: 0, problem: undefined };

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

  describe('with a router network', () => {
    const message = (status: R2RDeploymentStatus, type: ConditionType) => findCondition(status.conditions, type)?.message ?? '';
    const serving = { state: 'Serving', digest: 'b1', precision: 'int8' } as const;

    it('shows the bundle that every router scores with and the threshold in force', () => {
      const status = computeStatus(
        observation({ routers: [routerStatus({ bundle: serving }), routerStatus({ bundle: serving })] }),
        undefined,
      );
      assert.deepEqual(status.router, {
        configDigest: 'd',
        strategy: 'neural',
        threshold: 0.40596,
        bundle: { digest: 'b1', precision: 'int8' },
      });
      assert.equal(told(status, 'RouterReady'), 'True UpToDate');
    });

    it('shows no bundle while routers score with different ones', () => {
      const routers = [routerStatus({ bundle: serving }), routerStatus({ bundle: { ...serving, digest: 'b2' } }), routerStatus()];
      assert.equal(computeStatus(observation({ routers }), undefined).router?.bundle, undefined);
      assert.equal(computeStatus(observation({ routers: routers.slice(0, 2) }), undefined).router?.bundle, undefined);
    });

    it('says that a checkpoint is refused and why, and is Ready because the network before goes on scoring', () => {
      const bundle = { state: 'Refused', message: 'entry data/3 is truncated', digest: 'b1', precision: 'int8' } as const;
      const status = computeStatus(observation({ routers: [routerStatus({ bundle })] }), undefined);
      assert.equal(told(status, 'RouterReady'), 'False BundleRefused');
      assert.match(
        message(status, 'RouterReady'),
        /1 of 1 routers refuse the wanted router network: entry data\/3 is truncated; the network before goes on scoring$/,
      );
      assert.equal(told(status, 'Ready'), 'True Serving');
      assert.match(message(status, 'Ready'), /^answering, but RouterReady: .*refuse the wanted router network/);
      assert.equal(status.router?.bundle?.digest, 'b1');
    });

    it('is not Ready, for that reason, when there was no network before', () => {
      const bundle = { state: 'Refused', message: 'trained for another SLM' } as const;
      const routers = [routerStatus({ bundle, waitingFor: ['the router network'] })];
      const status = computeStatus(observation({ router: noRouterReady, routers }), undefined);
      assert.equal(told(status, 'Ready'), 'False BundleRefused');
      assert.match(message(status, 'Ready'), /trained for another SLM$/);
    });

    it('says that a checkpoint is being loaded, but names first what holds the LLM up', () => {
      const bundle = { state: 'Loading', message: 'importing' } as const;
      const seen = observation({ router: noRouterReady, routers: [routerStatus({ bundle, waitingFor: ['the router network'] })] });
      const status = computeStatus(seen, undefined);
      assert.equal(told(status, 'Ready'), 'False BundleLoading');
      assert.match(message(status, 'RouterReady'), /a router waits for the router network$/);
      const problem = { reason: 'ImagePullBackOff', message: 'container engine: image x cannot be pulled' };
      assert.equal(told(computeStatus({ ...seen, llm: role({ ...starting, problem }) }, undefined), 'Ready'), 'False ImagePullBackOff');
    });

    it('answers, but tells an alarm of a router', () => {
      const alarms = [{ reason: 'LogitSpreadHigh', message: 'the candidates lie 0.5 apart' }];
      const status = computeStatus(observation({ routers: [routerStatus({ alarms })] }), undefined);
      assert.equal(told(status, 'RouterReady'), 'False LogitSpreadHigh');
      assert.equal(told(status, 'Ready'), 'True Serving');
    });

    it('answers, but tells that many requests fail, once the wanted network scores', () => {
      const window = { ...routerStatus().window, requests: { total: 40, failed: 8 } };
      const status = computeStatus(observation({ routers: [routerStatus({ window, bundle: serving })] }), undefined);
      assert.equal(told(status, 'RouterReady'), 'False RouterErrors');
      assert.match(message(status, 'RouterReady'), /8 of 40 requests of the last minute/);
      assert.equal(told(status, 'Ready'), 'True Serving');
      const loading = routerStatus({ window, bundle: { ...serving, state: 'Loading' } });
      assert.equal(told(computeStatus(observation({ routers: [loading] }), undefined), 'RouterReady'), 'False BundleLoading');
    });

    it('is ready without a network while the R2RRouter offers none, and says so', () => {
      const awaitedBundle = {
        reason: 'NoBundleYet',
        message: 'R2RRouter math offers no bundle yet; tokens are routed by entropy until then',
      };
      const status = computeStatus(observation({ awaitedBundle, routers: [routerStatus()] }), undefined);
      assert.equal(told(status, 'RouterReady'), 'True NoBundleYet');
      assert.equal(message(status, 'RouterReady'), `1 of 1 routers are ready; ${awaitedBundle.message}`);
      assert.equal(told(status, 'Ready'), 'True Serving');
      const behind = observation({ awaitedBundle, routers: [routerStatus({ configDigest: 'before' })] });
      assert.equal(told(computeStatus(behind, undefined), 'RouterReady'), 'False ConfigurationPending');
    });

    it('says in a condition of its own that the LLM alone would be faster, and keeps it while no router answers', () => {
      assert.equal(findCondition(computeStatus(observation(), undefined).conditions, 'RoutingBeneficial'), undefined);
      const fine = computeStatus(observation({ routers: [routerStatus()] }), undefined);
      assert.equal(told(fine, 'RoutingBeneficial'), 'True NoProblem');
      const alarms = [{ reason: 'SlowerThanLLM', message: '48% of the tokens come from the LLM' }];
      const slower = computeStatus(observation({ routers: [routerStatus({ alarms })] }), fine);
      assert.equal(told(slower, 'RoutingBeneficial'), 'False SlowerThanLLM');
      assert.equal(told(slower, 'RouterReady'), 'True UpToDate');
      assert.equal(message(slower, 'Ready'), 'http://demo.default.svc answers');
      assert.equal(told(computeStatus(observation(), slower), 'RoutingBeneficial'), 'False SlowerThanLLM');
    });

    it('names the one Secret that is meant where the name of a folder begins that of another', () => {
      const secrets = [
        { name: 'keys', folder: '/etc/r2r/s3' },
        { name: 'authorities', folder: '/etc/r2r/s3-ca' },
      ];
      const waiting = (what: string) =>
        message(
          computeStatus(observation({ router: noRouterReady, routers: [routerStatus({ waitingFor: [what] })], secrets }), undefined),
          'RouterReady',
        );
      assert.match(waiting('/etc/r2r/s3-ca/ca.crt'), /ca\.crt \(\/etc\/r2r\/s3-ca is Secret authorities\)$/);
      assert.match(waiting('a key in /etc/r2r/s3'), /\(\/etc\/r2r\/s3 is Secret keys\)$/);
    });

    it('names the Secret behind a path that a router speaks of', () => {
      const secrets = [{ name: 'clients', folder: '/etc/r2r/api-keys' }];
      const routers = [routerStatus({ waitingFor: ['an API key in /etc/r2r/api-keys'] })];
      const status = computeStatus(observation({ router: noRouterReady, routers, secrets }), undefined);
      assert.match(
        message(status, 'RouterReady'),
        /waits for an API key in \/etc\/r2r\/api-keys \(\/etc\/r2r\/api-keys is Secret clients\)$/,
      );
    });
  });
});
