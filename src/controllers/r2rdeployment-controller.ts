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
import type { ProgressClient } from './router/progress-client.ts';
import { offersOf } from './router-reference.ts';
import { Pools, ScalingLoop, ScalingMetrics } from './scaling/index.ts';

export interface R2RDeploymentControllerOptions {
  readonly client: KubeClient;
  readonly recorder: EventRecorder;
  readonly routers: RouterClient;
  /** How downloads of models are asked how far they are. Left out: they are not. */
  readonly progress?: ProgressClient | undefined;
  readonly render: RenderOptions;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  /** Where the operator's own metrics are registered. */
  readonly registry: Registry;
  /** Deployments reconciled at the same time. */
  readonly concurrency: number;
  /** Shared with other controllers. @default its own */
  readonly caches?: Caches;
  /** How often autoscaled deployments are sampled, in ms. @default { steady: 5_000, fast: 1_000 } */
  readonly sampleEveryMs?: { readonly steady: number; readonly fast: number };
}

/** Adds the controller for R2RDeployments, with the informers it reads, to a manager. */
export function addR2RDeploymentController(manager: Manager, options: R2RDeploymentControllerOptions): Controller {
  const { caches = makeCaches(manager) } = options;
  publishConditions(options.registry, () => [...caches.r2r.list(), ...caches.routers.list()]);
  const operatorMetrics = new OperatorMetrics(options.registry, () => caches.r2r.list());
  const scalers = new ScalingLoop({
    ...options,
    caches,
    metrics: new ScalingMetrics(options.registry),
    enqueue: (key) => controller.enqueue(key),
    ...(options.sampleEveryMs && { everyMs: options.sampleEveryMs }),
  });
  const pools = new Pools({ ...options, caches, scalers });
  const reconciler = new R2RDeploymentReconciler({ ...options, caches, operatorMetrics, pools });
  const { logger, metrics, concurrency } = options;
  const controller: Controller = new Controller({
    name: 'r2rdeployment',
    reconcile: reconciler.reconcile,
    concurrency,
    deadlineMs: 120_000,
    // pods and Deployments change several times within moments while they come up
    gatherMs: 100,
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
  manager.add(controller).addRunnable('scaling', scalers.run);
  return controller;
}
