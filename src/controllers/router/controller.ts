import { Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import { phases } from '../../api/r2rrouter-status.ts';
import { Controller, anyChange, apiVersionOf, beyondStatus, networkPolicies, parseKey } from '../../kube/index.ts';
import type { EventRecorder, KubeClient, KubeMetrics, Live, Logger, Manager, ObjectKey } from '../../kube/index.ts';
import type { R2RDeployment } from '../../api/r2rdeployment.ts';
import type { RouterJobOptions } from '../../manifests/index.ts';
import { r2rRouters } from '../resource-types.ts';
import { followedRouter } from '../router-reference.ts';
import { informerOf } from '../caches.ts';
import type { Caches } from '../caches.ts';
import { routerOfPod } from './caches.ts';
import type { ProgressClient } from './progress-client.ts';
import { R2RRouterReconciler } from './reconciler.ts';

export interface R2RRouterControllerOptions {
  readonly client: KubeClient;
  /** Shared with the controller of R2RDeployments. */
  readonly caches: Caches;
  readonly recorder: EventRecorder;
  readonly progress: ProgressClient;
  readonly render: RouterJobOptions;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  /** Where the operator's own metrics are registered. */
  readonly registry: Registry;
  /** Routers reconciled at the same time. */
  readonly concurrency: number;
}

/** Adds the controller for R2RRouters to a manager. */
export function addR2RRouterController(manager: Manager, options: R2RRouterControllerOptions): Controller {
  const { caches, registry, logger, metrics, concurrency } = options;
  const byPhase = new Gauge({
    name: 'r2r_operator_routers',
    help: 'R2RRouters by phase.',
    labelNames: ['phase'],
    registers: [registry],
    collect() {
      const counts = Object.fromEntries(phases.map((phase) => [phase, 0]));
      for (const { status } of caches.routers.list()) counts[status?.phase ?? 'Pending'] = (counts[status?.phase ?? 'Pending'] ?? 0) + 1;
      for (const [phase, count] of Object.entries(counts)) byPhase.set({ phase }, count);
    },
  });
  const reconciler = new R2RRouterReconciler(options);
  const controller = new Controller({
    name: 'r2rrouter',
    reconcile: reconciler.reconcile,
    concurrency,
    deadlineMs: 120_000,
    logger,
    metrics,
  });
  controller
    .watch(caches.routers, beyondStatus)
    .owns(caches.jobs, r2rRouters, anyChange)
    .owns(caches.claims, r2rRouters, anyChange)
    .owns(informerOf(caches, { apiVersion: apiVersionOf(networkPolicies), kind: networkPolicies.kind }), r2rRouters, anyChange)
    .follow(caches.pods, routerOfPod, anyChange)
    .follow(caches.r2r, routerOf, anyChange);
  manager.add(controller);
  return controller;
}

/** How a deployment gets on with its bundle decides who gets it next. */
function routerOf(deployment: Live<R2RDeployment>): ObjectKey[] {
  const followed = followedRouter(deployment);
  return followed === undefined ? [] : [parseKey(followed)];
}
