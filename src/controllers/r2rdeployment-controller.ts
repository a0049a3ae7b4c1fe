import { isDeepStrictEqual } from 'node:util';
import type { Registry } from 'prom-client';
import { Controller, anyChange, beyondStatus } from '../kube/index.ts';
import type { EventRecorder, KubeClient, KubeMetrics, Logger, Manager } from '../kube/index.ts';
import type { RenderOptions } from '../manifests/index.ts';
import { publishConditions } from './condition-metrics.ts';
import { OperatorMetrics } from './metrics.ts';
import { followersOf, instanceKey, makeCaches } from './caches.ts';
import { r2rDeployments } from './resource-types.ts';
import type { Caches } from './caches.ts';
import { R2RDeploymentReconciler } from './r2rdeployment-reconciler.ts';
import type { RouterClient } from './router-client.ts';
import { offersOf } from './router-reference.ts';

export interface R2RDeploymentControllerOptions {
  readonly client: KubeClient;
  readonly recorder: EventRecorder;
  readonly routers: RouterClient;
  readonly render: RenderOptions;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  /** Where the operator's own metrics are registered. */
  readonly registry: Registry;
  /** Deployments reconciled at the same time. */
  readonly concurrency: number;
  /** Shared with other controllers. @default its own */
  readonly caches?: Caches;
}

/** Adds the controller for R2RDeployments, with the informers it reads, to a manager. */
export function addR2RDeploymentController(manager: Manager, options: R2RDeploymentControllerOptions): Controller {
  const { caches = makeCaches(manager) } = options;
  publishConditions(options.registry, () => [...caches.r2r.list(), ...caches.routers.list()]);
  const operatorMetrics = new OperatorMetrics(options.registry, () => caches.r2r.list());
  const reconciler = new R2RDeploymentReconciler({ ...options, caches, operatorMetrics });
  const { logger, metrics, concurrency } = options;
  const controller = new Controller({
    name: 'r2rdeployment',
    reconcile: reconciler.reconcile,
    concurrency,
    deadlineMs: 120_000,
    logger,
    metrics,
  });
  controller
    .watch(caches.r2r, beyondStatus)
    .follow(caches.pods, instanceKey, anyChange)
    .follow(
      caches.routers,
      (router) => followersOf(caches, router),
      (before, after) => !isDeepStrictEqual(offersOf(before), offersOf(after)),
    );
  for (const informer of caches.children.values()) controller.owns(informer, r2rDeployments, anyChange);
  manager.add(controller);
  return controller;
}
