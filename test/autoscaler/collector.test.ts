import assert from 'node:assert/strict';
import { latencyBoundsMs } from '../../src/api/router-work.ts';
import type { RouterStatus } from '../../src/api/router-status.ts';
import { collect, initialCollector, prefillTokensPerCall } from '../../src/autoscaler/collector.ts';
import type { Collected, CollectorState, Reading, RouterAnswer } from '../../src/autoscaler/collector.ts';

const none = { slm: 0, llm: 0, fallback: 0 };

/** So many calls, all of them answered within so many ms. */
function latencies(calls: number, ms = 10): number[] {
  const index = latencyBoundsMs.findIndex((bound) => ms <= bound);
  return Array.from({ length: latencyBoundsMs.length + 1 }, (_, each) => (each === index ? calls : 0));
}

interface Told {
  readonly calls?: number;
  readonly answered?: number;
  readonly ms?: number;
  readonly primedTokens?: number;
  readonly drafted?: number;
  readonly held?: number;
  readonly instance?: string;
  readonly more?: Partial<RouterStatus>;
}

function status({
  calls = 0,
  answered = calls,
  ms,
  primedTokens = 0,
  drafted = 0,
  held = 0,
  instance = 'a',
  more = {},
}: Told): RouterStatus {
  return {
    instance,
    configDigest: 'd',
    strategy: 'neural',
    threshold: 0.4,
    alarms: [],
    waitingFor: [],
    inFlight: 0,
    tokensTotal: none,
    window: { seconds: 60, tokens: none, tokensPerSecond: 0 },
    work: {
      llm: { calls, primedTokens, latencies: latencies(answered, ms), waitingRequests: held },
      slm: { draftedTokens: drafted, latencies: latencies(drafted), queuedRequests: 0 },
    },
    parameters: {},
    llmEndpoints: [],
    ...more,
  };
}

const router = (id: string, told: Told | undefined): RouterAnswer => ({ id, status: told && status(told) });

function at(seconds: number, state: CollectorState, routers: readonly RouterAnswer[], more: Partial<Reading> = {}): Collected {
  return collect(state, { atMs: seconds * 1000, routers, llmPods: [], slmPods: [], drainingPodUIDs: [], ...more });
}

/** Two readings, five seconds apart. */
function between(before: readonly RouterAnswer[], after: readonly RouterAnswer[]): Collected {
  return at(5, at(0, initialCollector, before).state, after);
}

describe('the collector of samples', () => {
  it('knows no rate from a first reading', () => {
    const { llm, slm } = at(0, initialCollector, [router('r', { calls: 500 })]);
    assert.equal(llm.demandPerSecond, undefined);
    assert.equal(slm.demandPerSecond, undefined);
  });

  it('adds up over all routers what was asked for a second, primed prompts as the calls that they cost', () => {
    const { llm } = between(
      [router('r', { calls: 100 }), router('s', { calls: 10 })],
      [router('r', { calls: 200, primedTokens: 5 * prefillTokensPerCall }), router('s', { calls: 35 })],
    );
    assert.equal(llm.demandPerSecond, 20 + 5 + 1);
  });

  it('tells what was done from what was asked for', () => {
    const { llm } = between([router('r', { calls: 0 })], [router('r', { calls: 100, answered: 50 })]);
    assert.deepEqual([llm.demandPerSecond, llm.donePerSecond], [20, 10]);
  });

  it('takes routers that do not answer to be like those that do', () => {
    const before = ['r', 's', 't'].map((id) => router(id, { calls: 0 }));
    const { llm } = between(before, [router('r', { calls: 50 }), router('s', { calls: 50 }), router('t', undefined)]);
    assert.equal(llm.demandPerSecond, 30);
  });

  it('knows nothing when most routers do not answer', () => {
    const before = ['r', 's', 't'].map((id) => router(id, { calls: 0 }));
    const { llm } = between(before, [router('r', { calls: 50 }), router('s', undefined), router('t', undefined)]);
    assert.equal(llm.demandPerSecond, undefined);
  });

  it('compares a router that was silent with what it said last', () => {
    const first = at(0, initialCollector, [router('r', { calls: 0 })]);
    const silent = at(5, first.state, [router('r', undefined)]);
    assert.equal(silent.llm.demandPerSecond, undefined);
    assert.equal(at(10, silent.state, [router('r', { calls: 100 })]).llm.demandPerSecond, 10);
  });

  it('does not take a restarted router for one that went backwards, nor for one with a burst', () => {
    for (const calls of [3, 5000]) {
      const { llm } = between([router('r', { calls: 1000 })], [router('r', { calls, instance: 'b' })]);
      assert.equal(llm.demandPerSecond, undefined);
    }
    assert.equal(between([router('r', { calls: 1000 })], [router('r', { calls: 3 })]).llm.demandPerSecond, undefined);
  });

  it('counts the others while one has begun anew', () => {
    const { llm } = between(
      [router('r', { calls: 0 }), router('s', { calls: 0 })],
      [router('r', { calls: 50 }), router('s', { calls: 0, instance: 'b' })],
    );
    assert.equal(llm.demandPerSecond, 20);
  });

  it('makes do with a router from before there was `work`', () => {
    const old = (started: number, tokens: number): RouterAnswer => ({
      id: 'r',
      status: {
        ...status({}),
        instance: undefined,
        work: undefined,
        llmCalls: { started, wasted: 0 },
        tokensTotal: { ...none, slm: tokens },
      },
    });
    const { llm, slm } = between([old(10, 100)], [old(60, 600)]);
    assert.deepEqual([llm.demandPerSecond, llm.latencyP95Ms, slm.demandPerSecond], [10, undefined, 100]);
    const older: RouterAnswer = { id: 'r', status: { ...status({}), work: undefined } };
    assert.equal(between([older], [older]).llm.demandPerSecond, undefined);
  });

  it('finds the 95th percentile of the calls of all routers since the reading before', () => {
    const slow = latencies(6, 500).map((count, index) => count + (latencies(94, 10)[index] ?? 0));
    const before = [router('r', { calls: 1000, ms: 5000 })];
    const after = status({ calls: 1100, ms: 5000 });
    const work = {
      ...after.work!,
      llm: { ...after.work!.llm, latencies: latencies(1000, 5000).map((count, index) => count + (slow[index] ?? 0)) },
    };
    const { llm } = between(before, [{ id: 'r', status: { ...after, work } }]);
    assert.ok(llm.latencyP95Ms !== undefined && llm.latencyP95Ms > 400 && llm.latencyP95Ms <= 500, `${llm.latencyP95Ms}`);
  });

  it('knows no latency where no call ended', () => {
    assert.equal(between([router('r', { calls: 5 })], [router('r', { calls: 5 })]).llm.latencyP95Ms, undefined);
    assert.equal(between([router('r', { calls: 5 })], [router('r', { calls: 5 })]).llm.demandPerSecond, 0);
  });

  it('changes its routing key with threshold, strategy and bundle, and not while routers differ', () => {
    const of = (more: Partial<RouterStatus>): RouterAnswer => ({ id: 'r', status: { ...status({}), ...more } });
    const first = at(0, initialCollector, [of({})]);
    const keys = [of({ threshold: 0.5 }), of({ strategy: 'entropy' }), of({ bundle: { state: 'Serving', digest: 'ab' } })].map(
      (each) => at(1, first.state, [each]).llm.routingKey,
    );
    assert.equal(new Set([...keys, first.llm.routingKey]).size, 4);
    const differing = at(1, first.state, [of({}), { id: 's', status: status({ more: { threshold: 0.5 } }) }]);
    assert.equal(differing.llm.routingKey, first.llm.routingKey);
  });

  it('puts together what routers and API server know of a replica', () => {
    const endpoint = { podUID: 'p', address: 'http://10.0.0.1:30000', ready: true, draining: false };
    const answers = [
      {
        id: 'r',
        status: status({
          held: 2,
          more: { inFlight: 1, llmEndpoints: [{ ...endpoint, inFlight: 2, load: { queuedRequests: 1, kvUsage: 0.5 } }] },
        }),
      },
      {
        id: 's',
        status: status({ held: 1, more: { inFlight: 1, llmEndpoints: [{ ...endpoint, inFlight: 3, load: { queuedRequests: 4 } }] } }),
      },
    ];
    const pods = [
      { id: 'p', ready: true, terminating: false, createdAtMs: 1 },
      { id: 'q', ready: false, terminating: true, createdAtMs: 2 },
    ];
    const { llm } = at(0, initialCollector, answers, { llmPods: pods, drainingPodUIDs: ['p'] });
    assert.equal(llm.waitingRequests, 3);
    assert.deepEqual(llm.replicas, [
      {
        id: 'p',
        ready: true,
        terminating: false,
        draining: true,
        createdAtMs: 1,
        inFlight: 5,
        runningRequests: undefined,
        queuedRequests: 4,
        kvUsage: 0.5,
      },
      {
        id: 'q',
        ready: false,
        terminating: true,
        draining: false,
        createdAtMs: 2,
        inFlight: 0,
        runningRequests: undefined,
        queuedRequests: undefined,
        kvUsage: undefined,
      },
    ]);
  });

  it('does not take what a router tries out without a client for work', () => {
    const llmEndpoints = [{ podUID: 'p', address: 'http://10.0.0.1:30000', ready: true, draining: false, inFlight: 2 }];
    const pods = [{ id: 'p', ready: true, terminating: false, createdAtMs: 1 }];
    const { llm } = at(0, initialCollector, [{ id: 'r', status: status({ more: { llmEndpoints } }) }], { llmPods: pods });
    assert.equal(llm.replicas[0]?.inFlight, 0);
  });

  it("takes an SLM replica's load from its own router", () => {
    const own = status({ drafted: 0, more: { inFlight: 7 } });
    const answers = [
      { id: 'p', status: { ...own, work: { ...own.work!, slm: { ...own.work!.slm, queuedRequests: 9, load: { queuedRequests: 3 } } } } },
    ];
    const { slm } = at(0, initialCollector, answers, { slmPods: [{ id: 'p', ready: true, terminating: false, createdAtMs: 1 }] });
    assert.equal(slm.waitingRequests, 9);
    assert.deepEqual([slm.replicas[0]?.inFlight, slm.replicas[0]?.queuedRequests], [7, 3]);
  });
});
