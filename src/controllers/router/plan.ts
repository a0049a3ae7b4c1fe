import type { JobName } from '../../api/r2rrouter-jobs.ts';
import type { R2RRouter } from '../../api/r2rrouter.ts';
import type { R2RRouterStatus, RouterStepStatus } from '../../api/r2rrouter-status.ts';
import { stepHash } from '../../api/step-identity.ts';
import type { StepInput, StepSpec } from '../../api/step-identity.ts';
import { identityOf, routerSteps } from '../../manifests/index.ts';
import { failureOf, faultyStep } from './failure.ts';
import type { ObservedJob } from './observation.ts';
import { decideStep, isoTime } from './step-state.ts';
import type { BundleResult } from './termination.ts';
import { routerStatus } from './status.ts';

export interface PlanInput {
  /** With the status that was written last: the records of what is done. */
  readonly router: R2RRouter;
  /** All Jobs of the router. */
  readonly jobs: readonly ObservedJob[];
  readonly now: Date;
}

export interface Plan {
  /** Steps whose Jobs are to be made, at most one Job each. A name that is taken by then is the very Job. */
  readonly create: readonly StepSpec<JobName>[];
  /** Jobs that are to be taken away, with their pods. */
  readonly remove: readonly ObservedJob[];
  readonly status: R2RRouterStatus;
  /** When to plan again, if nothing changes before. */
  readonly atMs?: number;
}

/**
 * What is to be done for a router, and its status. A pure function of the resource, its Jobs and the time, so that an operator that was
 * restarted goes on as if nothing had been: a step is done when its record says so, and a Job is made only where neither a record nor a Job of
 * its hash is there.
 *
 * @throws RouterSpecError
 */
export function plan({ router, jobs, now }: PlanInput): Plan {
  const { metadata, spec, status: written } = router;
  const { generation = 0 } = metadata;
  const runs = repetitions(router, now);
  const finders = new Map(jobs.filter(({ deleting, phase }) => !deleting && phase === 'Failed').map((job) => [faultyStep(job), job]));
  const results = new Map<JobName, StepInput>();
  const steps: RouterStepStatus[] = [];
  const create: StepSpec<JobName>[] = [];
  const remove: ObservedJob[] = [];
  const kept = new Set<string>();
  const times: number[] = [];
  let bundle: BundleResult | undefined;
  for (const step of routerSteps(spec, runs)) {
    const { name } = step;
    const identity = identityOf(step, results);
    if (!identity) {
      // What is recorded may hold again once its inputs are there.
      const { progress: _, ...record } = written?.steps?.find((each) => each.name === name) ?? { name };
      steps.push({ ...record, state: 'Waiting' });
      continue;
    }
    const hash = stepHash(identity);
    const job = jobs.find((each) => each.step === name && each.hash === hash);
    if (job) kept.add(job.uid);
    const record = written?.steps?.find((each) => each.name === name && each.hash === hash);
    const finder = finders.get(name);
    if (finder && (record?.digest !== undefined || job?.phase === 'Complete')) {
      // What it wrote is damaged: the step finds which part, and makes that again.
      if (job && !job.deleting) remove.push(job);
      const failure = { ...failureOf(finder, isoTime(now)), retryable: true, generation };
      steps.push({ name, hash, state: 'Retrying', attempts: record?.attempts ?? 1, failure });
      continue;
    }
    const decision = decideStep({ name, hash, before: record, job, jobs: spec.jobs, generation, now });
    steps.push(decision.status);
    if (decision.create) create.push(identity);
    if (decision.remove) remove.push(decision.remove);
    if (decision.atMs !== undefined) times.push(decision.atMs);
    if (decision.status.state === 'Done' && decision.status.digest !== undefined) {
      results.set(name, { hash, digest: decision.status.digest });
    }
    bundle = decision.bundle ?? bundle;
  }
  // Jobs of inputs that nobody wants any more, and those whose input turned out to be damaged: their work is kept in the workspace.
  remove.push(...jobs.filter((job) => !kept.has(job.uid) && !job.deleting && (job.phase === 'Active' || faultyStep(job) !== undefined)));
  const status: R2RRouterStatus = {
    ...routerStatus({ router, steps, jobs, bundle, now }),
    ...((spec.schedule !== undefined || runs > 0) && { schedule: schedule(router, runs, now) }),
  };
  if (spec.schedule && status.schedule && !isHeld({ spec, status })) {
    times.push(Date.parse(status.schedule.lastRunAt) + spec.schedule.everyHours * hourMs);
  }
  return {
    create,
    remove,
    status,
    ...(times.length > 0 && { atMs: Math.min(...times) }),
  };
}

const hourMs = 3_600_000;

/**
 * How often the schedule has had the data sets read again. A run that is under way is brought to its end first, and what was read stays what it
 * is when the schedule goes. Without a status, it is the number of periods since the resource was made.
 */
function repetitions({ metadata, spec, status }: R2RRouter, now: Date): number {
  const before = status?.schedule;
  if (!spec.schedule) return before?.runs ?? 0;
  const periodMs = spec.schedule.everyHours * hourMs;
  if (before) return isHeld({ spec, status }) || now.getTime() < Date.parse(before.lastRunAt) + periodMs ? before.runs : before.runs + 1;
  const age = now.getTime() - Date.parse(metadata.creationTimestamp ?? isoTime(now));
  return spec.schedule.suspend ? 0 : Math.max(0, Math.floor(age / periodMs));
}

/** Nothing is read again while a run is under way, or anything is suspended. */
function isHeld({ spec, status }: Pick<R2RRouter, 'spec' | 'status'>): boolean {
  const isUnderWay = status?.steps?.some(({ state }) => state !== 'Done' && state !== 'Failed') ?? false;
  return isUnderWay || spec.jobs.suspend || (spec.schedule?.suspend ?? false);
}

function schedule({ metadata, status }: R2RRouter, runs: number, now: Date): NonNullable<R2RRouterStatus['schedule']> {
  const before = status?.schedule;
  if (before?.runs === runs) return before;
  return { runs, lastRunAt: runs === 0 ? (metadata.creationTimestamp ?? isoTime(now)) : isoTime(now) };
}
