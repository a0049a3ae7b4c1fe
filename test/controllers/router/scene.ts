import assert from 'node:assert/strict';
import { jobName } from '../../../src/api/r2rrouter-names.ts';
import type { JobName } from '../../../src/api/r2rrouter-jobs.ts';
import type { R2RRouter, R2RRouterSpecInput } from '../../../src/api/r2rrouter.ts';
import { routerSpecSchema } from '../../../src/api/r2rrouter.ts';
import { routerStatusSchema } from '../../../src/api/r2rrouter-status.ts';
import type { R2RRouterStatus } from '../../../src/api/r2rrouter-status.ts';
import { stepHash } from '../../../src/api/step-identity.ts';
import { plan } from '../../../src/controllers/router/index.ts';
import type { ObservedJob, Plan } from '../../../src/controllers/router/index.ts';
import { set } from '../../api/deployments.ts';
import { storedRouter } from '../../api/routers.ts';

export const spec: R2RRouterSpecInput = { preset: 'tiny', source: { pipeline: { datasets: [{ preset: 'aime' }] } } };
export const start = new Date('2026-01-01T00:00:00Z');
const digestOf = (hash: string) => hash.repeat(4);

/** The digest of what a step makes. @default other data for every hash */
export type DataOf = (step: JobName, hash: string) => string;

/** A router with its Jobs, as a cluster would have them, and an operator that plans when it is told to. */
export class Scene {
  router: R2RRouter;
  jobs: ObservedJob[] = [];
  now = start;
  made: string[] = [];
  readonly #dataOf: DataOf;
  constructor(input = spec, dataOf: DataOf = (_, hash) => digestOf(hash)) {
    this.#dataOf = dataOf;
    const router = storedRouter('tiny', input);
    this.router = { ...router, metadata: { ...router.metadata, creationTimestamp: start.toISOString() } };
  }

  look(): Plan {
    return plan({ router: this.router, jobs: this.jobs, now: this.now });
  }

  /** Plans, does what the plan says, and writes the status. */
  step(): Plan {
    const planned = this.look();
    this.jobs = this.jobs.filter(({ uid }) => !planned.remove.some((each) => each.uid === uid));
    for (const identity of planned.create) {
      const hash = stepHash(identity);
      const name = jobName('tiny', identity.step, hash);
      assert.ok(!this.jobs.some((each) => each.name === name), `${name} is there`);
      this.made.push(name);
      this.jobs.push({
        name,
        uid: `${name}/${this.made.length}`,
        step: identity.step,
        hash,
        generation: this.router.metadata.generation ?? 0,
        deleting: false,
        suspended: false,
        phase: 'Active',
        shards: 1,
        shardsDone: 0,
        running: true,
        messages: [],
      });
    }
    routerStatusSchema.parse(planned.status);
    this.router = { ...this.router, status: planned.status };
    return planned;
  }

  change(path: string, value: unknown): void {
    const input = structuredClone(this.router.spec);
    set(input, path, value);
    const generation = (this.router.metadata.generation ?? 0) + 1;
    this.router = { ...this.router, metadata: { ...this.router.metadata, generation }, spec: routerSpecSchema.parse(input) };
  }

  set(step: JobName, change: Partial<ObservedJob>): void {
    const job = this.job(step);
    this.jobs = this.jobs.map((each) => (each === job ? { ...each, ...change } : each));
  }

  job(step: JobName): ObservedJob {
    const found =
      this.jobs.findLast((each) => each.step === step && each.phase === 'Active') ?? this.jobs.findLast((each) => each.step === step);
    assert.ok(found, `no Job for ${step}`);
    return found;
  }

  complete(step: JobName, result: { recall: number; positiveRate: number } = { recall: 0.97, positiveRate: 0.1 }): void {
    const { hash } = this.job(step);
    const bundle = { digest: digestOf(hash), uri: `pvc://w/store/bundles/${digestOf(hash)}`, threshold: 0.4, rows: 1000, ...result };
    const message = { ok: true, step, hash, sealed: true, digest: this.#dataOf(step, hash), ...(step === 'bundle' && { bundle }) } as const;
    this.set(step, { phase: 'Complete', running: false, messages: [message] });
  }

  fail(step: JobName, code: string, retryable: boolean, more: object = {}): void {
    const message = { ok: false, code, message: `${code} happened`, retryable, ...more } as const;
    this.set(step, {
      phase: 'Failed',
      failedBecause: retryable ? 'BackoffLimitExceeded' : 'PodFailurePolicy',
      running: false,
      messages: [message],
    });
  }

  /** Runs every step that is made until nothing is left to do. */
  finish(): void {
    for (let round = 0; round < 20; round++) {
      this.step();
      const active = this.jobs.filter(({ phase }) => phase === 'Active');
      if (active.length === 0) return;
      for (const { step } of active) this.complete(step);
    }
    assert.fail('it never ends');
  }

  wait(seconds: number): void {
    this.now = new Date(this.now.getTime() + seconds * 1000);
  }

  get status(): R2RRouterStatus {
    return this.router.status ?? {};
  }

  state(step: JobName): string | undefined {
    return this.status.steps?.find(({ name }) => name === step)?.state;
  }

  condition(type: string) {
    return this.status.conditions?.find((each) => each.type === type);
  }

  /** Steps whose Jobs were made since `from`. */
  since(from: number): string[] {
    return this.made.slice(from).map((name) => name.split('-')[1] ?? '');
  }
}
