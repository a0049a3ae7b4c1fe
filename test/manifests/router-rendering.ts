import type { JobName } from '../../src/api/r2rrouter-jobs.ts';
import type { R2RRouter } from '../../src/api/r2rrouter.ts';
import { stepHash } from '../../src/api/step-identity.ts';
import type { StepInput } from '../../src/api/step-identity.ts';
import { identityOf, jobsNetworkPolicy, routerSteps, stepObjects, workspaceObject } from '../../src/manifests/index.ts';
import type { KubeObject, RouterJobOptions } from '../../src/manifests/index.ts';
import { options } from './rendering.ts';
import type { Workload } from './rendering.ts';

export const jobOptions: RouterJobOptions = { ...options, trainerImage: 'registry.example/r2r/trainer:1' };

/** Everything the operator makes for a router, one step after the other, each with a result of its own. */
export function renderRouter(router: R2RRouter): readonly KubeObject[] {
  const results = new Map<JobName, StepInput>();
  const workspace = workspaceObject(router);
  const objects: KubeObject[] = [...(workspace ? [workspace] : []), jobsNetworkPolicy(router, jobOptions)];
  for (const step of routerSteps(router.spec)) {
    const identity = identityOf(step, results);
    if (!identity) throw new Error(`${step.name} comes before what it reads`);
    objects.push(...stepObjects({ router, identity }, jobOptions));
    results.set(step.name, { hash: stepHash(identity), digest: `${step.name.length}`.repeat(64) });
  }
  return objects;
}

/** What tests read of a rendered Job. */
export interface RenderedJob {
  readonly metadata: { readonly name: string; readonly labels: Record<string, string>; readonly annotations: Record<string, string> };
  readonly spec: {
    readonly suspend?: boolean;
    readonly completions: number;
    readonly completionMode?: string;
    readonly backoffLimit: number;
    readonly activeDeadlineSeconds?: number;
    readonly podFailurePolicy: {
      readonly rules: readonly { readonly action: string; readonly onExitCodes?: { readonly values: number[] } }[];
    };
    readonly template: Workload['spec']['template'];
  };
}

export function jobOf(objects: readonly KubeObject[], step: JobName): RenderedJob {
  const found = objects.find(
    ({ kind, metadata }) => kind === 'Job' && (metadata.labels as Record<string, string>)['r2r.dev/step'] === step,
  );
  if (!found) throw new Error(`no Job for ${step} was rendered`);
  return found as unknown as RenderedJob;
}
