import type { R2RDeploymentStatus } from '../../api/r2rdeployment-status.ts';
import type { RouterStatus } from '../../api/router-status.ts';
import type { Component } from '../../api/names.ts';
import { podKey, type RouterAnswer } from '../view/router-answers.ts';
import { podView, type PodView } from '../view/pod-view.ts';
import type { DeploymentFamily } from '../view/resources.ts';

/** An SLM pod's router as it answers, beside what the resource's status has of all of them. */
export interface PodWithRouter extends PodView {
  readonly router?: RouterStatus;
}

export interface RevisionView {
  readonly revision: string;
  readonly serving: boolean;
  readonly target: boolean;
  readonly pods: readonly PodWithRouter[];
}

export interface RoleView {
  readonly role: Component;
  readonly model: string;
  readonly engine: string;
  readonly ready: number;
  readonly wanted: number;
  readonly revisions: readonly RevisionView[];
}

/** Everything `kubectl r2r status` says of an R2RDeployment. */
export interface DeploymentView {
  readonly kind: 'R2RDeployment';
  readonly namespace: string;
  readonly name: string;
  readonly createdAt: string | undefined;
  /** Whether the operator has seen the present spec. */
  readonly observed: boolean;
  readonly endpoint: string | undefined;
  readonly revision: R2RDeploymentStatus['revision'];
  readonly routing: R2RDeploymentStatus['routing'];
  readonly router: R2RDeploymentStatus['router'];
  readonly roles: readonly RoleView[];
  readonly conditions: NonNullable<R2RDeploymentStatus['conditions']>;
}

export function deploymentView(
  { deployment, children, pods }: DeploymentFamily,
  routers: ReadonlyMap<string, RouterAnswer>,
  now: Date,
): DeploymentView {
  const { metadata, spec, status = {} } = deployment;
  const views: readonly PodWithRouter[] = pods.map((pod) => {
    const answer = routers.get(podKey(pod));
    return { ...podView(pod, now), ...(answer && { router: answer.status }) };
  });
  const role = (of: Component): RoleView => {
    const mine = views.filter(({ component }) => component === of);
    const { serving, target } = status.revision ?? {};
    const present = new Set([...mine.flatMap(({ revision }) => revision ?? []), ...[serving, target].filter((each) => each !== undefined)]);
    const wantedOf = children.filter((child) => child.metadata.labels?.['app.kubernetes.io/component'] === of);
    return {
      role: of,
      model: spec[of].model,
      engine: spec[of].engine,
      ready: mine.filter(({ ready, containers, status: is }) => ready === containers && is === 'Running').length,
      wanted: wantedOf.length > 0 ? wantedOf.reduce((sum, { spec: wanted }) => sum + (wanted?.replicas ?? 0), 0) : spec[of].replicas,
      revisions: [...present].map((revision) => ({
        revision,
        serving: revision === serving,
        target: revision === target,
        pods: mine.filter((pod) => pod.revision === revision),
      })),
    };
  };
  return {
    kind: 'R2RDeployment',
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    createdAt: metadata.creationTimestamp,
    observed: status.observedGeneration === metadata.generation,
    endpoint: status.endpoint,
    revision: status.revision,
    routing: status.routing,
    router: status.router,
    roles: [role('slm'), role('llm')],
    conditions: status.conditions ?? [],
  };
}
