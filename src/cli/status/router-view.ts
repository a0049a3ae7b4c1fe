import { routerLabelKeys } from '../../api/r2rrouter-names.ts';
import type { R2RRouterStatus, RouterStepStatus } from '../../api/r2rrouter-status.ts';
import { podView, type PodView } from '../view/pod-view.ts';
import type { RouterFamily } from '../view/resources.ts';

export interface StepView extends RouterStepStatus {
  readonly pods: readonly PodView[];
}

/** Everything `kubectl r2r status` says of an R2RRouter. */
export interface RouterView {
  readonly kind: 'R2RRouter';
  readonly namespace: string;
  readonly name: string;
  readonly createdAt: string | undefined;
  readonly observed: boolean;
  readonly phase: NonNullable<R2RRouterStatus['phase']>;
  readonly labels: R2RRouterStatus['labels'];
  readonly candidate: R2RRouterStatus['candidate'];
  readonly bundle: R2RRouterStatus['bundle'];
  readonly steps: readonly StepView[];
  readonly deployments: NonNullable<R2RRouterStatus['deployments']>;
  readonly conditions: NonNullable<R2RRouterStatus['conditions']>;
}

export function routerView({ router, pods }: RouterFamily, now: Date): RouterView {
  const { metadata, status = {} } = router;
  const stepOf = (pod: (typeof pods)[number]): string | undefined => pod.metadata.labels?.[routerLabelKeys.step];
  return {
    kind: 'R2RRouter',
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    createdAt: metadata.creationTimestamp,
    observed: status.observedGeneration === metadata.generation,
    phase: status.phase ?? 'Pending',
    labels: status.labels,
    candidate: status.candidate,
    bundle: status.bundle,
    steps: (status.steps ?? []).map((step) => ({
      ...step,
      pods: pods.filter((pod) => stepOf(pod) === step.name).map((pod) => podView(pod, now)),
    })),
    deployments: status.deployments ?? [],
    conditions: status.conditions ?? [],
  };
}
