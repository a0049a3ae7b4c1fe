import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { RouterFollower } from '../../../src/api/r2rrouter-status.ts';
import { rollOut } from '../../../src/controllers/router/rollout.ts';
import type { Follower, Rollout } from '../../../src/controllers/router/rollout.ts';

const start = Date.parse('2026-01-01T00:00:00Z');
const ready = { status: 'True', reason: 'Serving', message: '', lastTransitionTime: '2025-12-31T00:00:00Z' } as const;

/** Deployments that follow a router, whose routers take over what they are told a moment later. */
class Fleet {
  records: readonly RouterFollower[] = [];
  nowMs = start;
  wish = 1;
  offered: string | undefined = 'a';
  rollout: Rollout | undefined;
  readonly inForce = new Map<string, string | undefined>();
  readonly faults = new Map<string, string>();
  readonly faultSinceMs = new Map<string, number>();

  constructor(names: readonly string[]) {
    for (const name of names) this.inForce.set(name, undefined);
  }

  look(): Rollout {
    const followers = [...this.inForce].map(([name, inForce]): Follower => {
      const reason = this.faults.get(name);
      const lastTransitionTime = new Date(this.faultSinceMs.get(name) ?? this.nowMs).toISOString();
      return { name, inForce, routers: reason === undefined ? ready : { status: 'False', reason, message: 'why', lastTransitionTime } };
    });
    const now = new Date(this.nowMs);
    this.rollout = rollOut({
      followers,
      before: this.records,
      offered: this.offered,
      observeSeconds: 120,
      specHash: String(this.wish),
      now,
    });
    this.records = this.rollout.followers;
    return this.rollout;
  }

  /** Routers take over what their deployment is to use. */
  obey(...names: readonly string[]): void {
    for (const { name, digest } of this.records) if (names.length === 0 || names.includes(name)) this.inForce.set(name, digest);
  }

  wait(seconds: number): void {
    this.nowMs += seconds * 1000;
  }

  fault(name: string, reason: string): void {
    this.faults.set(name, reason);
    this.faultSinceMs.set(name, this.nowMs);
  }

  /** Until all have the offered bundle. */
  finish(): void {
    for (let round = 0; round < 50 && this.look().condition.reason !== 'RolledOut'; round++) {
      this.obey();
      this.wait(60);
    }
    assert.equal(this.rollout?.condition.reason, 'RolledOut');
  }

  get states(): string {
    return this.records.map(({ name, state, digest = '-' }) => `${name} ${state} ${digest}`).join(', ');
  }
}

describe('the roll-out of bundles to deployments', () => {
  it('gives a bundle to one deployment after the other, each watched for a while', () => {
    const fleet = new Fleet(['y', 'x']);
    fleet.look();
    assert.equal(fleet.states, 'x Updating a, y Waiting -');
    fleet.obey('x');
    fleet.wait(5);
    assert.equal(fleet.look().condition.reason, 'RollingOut');
    assert.equal(fleet.states, 'x Observing a, y Waiting -');
    assert.equal(fleet.rollout?.atMs, fleet.nowMs + 90_000);
    fleet.wait(119);
    fleet.look();
    assert.equal(fleet.states, 'x Observing a, y Waiting -');
    fleet.wait(1);
    fleet.look();
    assert.equal(fleet.states, 'x Done a, y Updating a');
    fleet.finish();
    assert.equal(fleet.states, 'x Done a, y Done a');
  });

  it('goes back from a bundle whose routers report an alarm or errors, and gives it to no other', () => {
    for (const reason of ['LogitSpreadHigh', 'RouterErrors']) {
      const fleet = new Fleet(['x', 'y']);
      fleet.finish();
      fleet.offered = 'b';
      fleet.look();
      fleet.obey();
      fleet.wait(10);
      fleet.look();
      assert.equal(fleet.states, 'x Observing b, y Waiting a');
      fleet.fault('x', reason);
      assert.equal(fleet.look().condition.reason, 'RolledBack');
      assert.match(fleet.rollout?.condition.message ?? '', new RegExp(`x went back from bundle b: ${reason}: why`));
      assert.equal(fleet.states, 'x RolledBack a, y Waiting a');
      fleet.faults.clear();
      fleet.obey();
      fleet.wait(3600);
      fleet.look();
      assert.equal(fleet.states, 'x RolledBack a, y Waiting a');
    }
  });

  it('goes back from a bundle that routers refuse or that they crash over, before it was ever in force', () => {
    for (const reason of ['BundleRefused', 'CrashLoopBackOff', 'OOMKilled']) {
      const fleet = new Fleet(['x']);
      fleet.finish();
      fleet.offered = 'b';
      fleet.look();
      fleet.wait(3);
      fleet.fault('x', reason);
      fleet.look();
      assert.equal(fleet.states, 'x RolledBack a');
    }
  });

  it('tries a bundle again when the spec changes, and leaves it be when another is offered', () => {
    const fleet = new Fleet(['x']);
    fleet.finish();
    fleet.offered = 'b';
    fleet.look();
    fleet.fault('x', 'BundleRefused');
    fleet.look();
    assert.equal(fleet.states, 'x RolledBack a');
    fleet.faults.clear();
    fleet.wish++;
    fleet.look();
    assert.equal(fleet.states, 'x Updating b');
    fleet.fault('x', 'BundleRefused');
    fleet.look();
    fleet.faults.clear();
    fleet.offered = 'a';
    assert.equal(fleet.look().condition.reason, 'RolledOut');
    assert.equal(fleet.states, 'x Done a');
    fleet.offered = 'c';
    fleet.finish();
    assert.equal(fleet.states, 'x Done c');
  });

  it('holds a fault that was there before against a bundle only when it lasts, and does not call it done meanwhile', () => {
    const fleet = new Fleet(['x']);
    fleet.finish();
    fleet.fault('x', 'RouterErrors');
    fleet.wait(30);
    fleet.offered = 'b';
    fleet.look();
    fleet.obey();
    fleet.wait(1);
    fleet.look();
    fleet.wait(60);
    fleet.look();
    assert.equal(fleet.states, 'x Observing b');
    fleet.wait(30);
    fleet.look();
    assert.equal(fleet.states, 'x RolledBack a');
  });

  it('has no bundle to go back to where it is the first', () => {
    const fleet = new Fleet(['x']);
    fleet.look();
    fleet.fault('x', 'BundleRefused');
    fleet.look();
    assert.equal(fleet.states, 'x RolledBack -');
  });

  it('does not blame a bundle for routers that crashed before it came and wait to be started again', () => {
    const fleet = new Fleet(['x', 'y']);
    fleet.finish();
    fleet.offered = 'b';
    fleet.look();
    fleet.fault('x', 'Other');
    fleet.look();
    fleet.fault('x', 'CrashLoopBackOff');
    fleet.offered = 'a';
    fleet.wait(1);
    fleet.look();
    assert.equal(fleet.states, 'x Done a, y Done a');
    fleet.offered = 'c';
    fleet.wait(1);
    fleet.look();
    fleet.wait(300);
    fleet.look();
    assert.equal(fleet.states, 'x Updating c, y Waiting a');
    fleet.faults.clear();
    fleet.finish();
  });

  it('gives a newcomer what works elsewhere while the newest bundle is not to be had', () => {
    const fleet = new Fleet(['x', 'y']);
    fleet.finish();
    fleet.offered = 'b';
    fleet.look();
    fleet.fault('x', 'BundleRefused');
    fleet.look();
    fleet.inForce.set('z', undefined);
    fleet.look();
    fleet.look();
    assert.equal(fleet.states, 'x RolledBack a, y Waiting a, z Waiting a');
  });

  it('is not held up for ever by a deployment whose routers do not run', () => {
    const fleet = new Fleet(['x', 'y']);
    fleet.look();
    fleet.wait(599);
    fleet.look();
    assert.equal(fleet.states, 'x Updating a, y Waiting -');
    fleet.wait(1);
    fleet.look();
    assert.equal(fleet.states, 'x Updating a, y Updating a');
    assert.match(fleet.records[0]?.message ?? '', /the others go on/);
  });

  it('gives a deployment that comes later the bundle that has proved itself at once', () => {
    const fleet = new Fleet(['x', 'y']);
    fleet.finish();
    fleet.inForce.set('z', undefined);
    fleet.inForce.set('w', undefined);
    fleet.look();
    assert.equal(fleet.states, 'w Updating a, x Done a, y Done a, z Updating a');
  });

  it('goes on with the next bundle in the middle of a roll-out, and goes back to what was watched to the end', () => {
    const fleet = new Fleet(['x', 'y']);
    fleet.finish();
    fleet.offered = 'b';
    fleet.look();
    fleet.obey();
    fleet.offered = 'c';
    fleet.look();
    assert.equal(fleet.states, 'x Updating c, y Waiting a');
    fleet.fault('x', 'BundleRefused');
    fleet.look();
    assert.equal(fleet.states, 'x RolledBack a, y Waiting a');
  });

  it('says so when nobody follows, and when there is no bundle', () => {
    const fleet = new Fleet([]);
    assert.deepEqual([fleet.look().condition.status, fleet.rollout?.condition.reason], ['True', 'NoFollowers']);
    fleet.offered = undefined;
    assert.deepEqual([fleet.look().condition.status, fleet.rollout?.condition.reason], ['False', 'NoBundle']);
  });

  it('writes nothing new while nothing happens', () => {
    const fleet = new Fleet(['x', 'y', 'z']);
    for (let round = 0; round < 12; round++) {
      const first = fleet.look();
      fleet.nowMs += 1000;
      assert.deepEqual(fleet.look().followers, first.followers);
      fleet.obey();
      fleet.look();
      fleet.wait(61);
    }
  });

  it('never has two deployments between two bundles at once, but for those that are late, and always comes to an end', () => {
    const event = fc.oneof(
      fc.record({ kind: fc.constant('offer' as const), digest: fc.constantFrom('a', 'b', 'c') }),
      fc.record({
        kind: fc.constant('fault' as const),
        name: fc.constantFrom('x', 'y', 'z'),
        reason: fc.constantFrom('RouterErrors', 'BundleRefused', 'Other'),
      }),
      fc.record({ kind: fc.constant('heal' as const), name: fc.constantFrom('x', 'y', 'z') }),
      fc.record({ kind: fc.constant('wait' as const), seconds: fc.integer({ min: 1, max: 300 }) }),
      fc.record({ kind: fc.constant('obey' as const) }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const fleet = new Fleet(['x', 'y', 'z']);
        fleet.finish();
        // the others do not wait for what takes too long to begin, and it may begin when one of them does
        const late = new Set<string>();
        for (const each of events) {
          if (each.kind === 'offer') fleet.offered = each.digest;
          else if (each.kind === 'fault') fleet.fault(each.name, each.reason);
          else if (each.kind === 'heal') fleet.faults.delete(each.name);
          else if (each.kind === 'wait') fleet.wait(each.seconds);
          else fleet.obey();
          fleet.look();
          const moving = fleet.records.filter(
            ({ digest, state }) => digest === fleet.offered && (state === 'Observing' || state === 'Updating'),
          );
          for (const name of late) if (!moving.some((one) => one.name === name)) late.delete(name);
          for (const { name, state, since = '' } of moving)
            if (state === 'Updating' && fleet.nowMs - Date.parse(since) >= 600_000) late.add(name);
          assert.ok(moving.filter(({ name }) => !late.has(name)).length <= 1, fleet.states);
          // whatever happens, there is a bundle that was good once
          for (const { digest } of fleet.records) assert.ok(digest !== undefined);
        }
        fleet.faults.clear();
        fleet.wish++;
        fleet.finish();
      }),
      { numRuns: 300 },
    );
  });
});
