import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** What a scrape asks a work queue: the ages of the work under way, in ms. */
interface QueueView {
  readonly underWay: ReadonlyMap<string, number>;
}

const reconcileBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const queueBuckets = [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10, 60, 300];

/**
 * The metrics of this room, registered in the caller's registry. Names that controller-runtime and client-go have are used with their meaning,
 * so that their dashboards and alerts fit.
 */
export class KubeMetrics {
  readonly reconciles;
  readonly reconcileErrors;
  readonly terminalReconcileErrors;
  readonly reconcileSeconds;
  readonly maxConcurrentReconciles;
  readonly activeWorkers;
  readonly queueDepth;
  readonly queueAdds;
  readonly queueRetries;
  readonly queueSeconds;
  readonly workSeconds;
  readonly unfinishedSeconds;
  readonly longestRunningSeconds;
  readonly leader;
  readonly requests;
  readonly requestDuration;
  readonly informerObjects;
  readonly informerSynced;
  readonly informerLists;
  readonly informerWatches;
  readonly informerEvents;
  readonly cacheMisses;
  readonly handlerErrors;
  readonly events;
  readonly #queues = new Map<string, QueueView>();

  constructor(registry: Registry) {
    const registers = [registry];
    const counter = <Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> =>
      new Counter({ name, help, labelNames, registers });
    const gauge = <Label extends string>(name: string, help: string, labelNames: Label[]): Gauge<Label> =>
      new Gauge({ name, help, labelNames, registers });
    const histogram = <Label extends string>(name: string, help: string, labelNames: Label[], buckets: number[]): Histogram<Label> =>
      new Histogram({ name, help, labelNames, buckets, registers });

    this.reconciles = counter('controller_runtime_reconcile_total', 'Reconciles by result: success, error, requeue_after.', [
      'controller',
      'result',
    ]);
    this.reconcileErrors = counter('controller_runtime_reconcile_errors_total', 'Reconciles that ended in an error.', ['controller']);
    this.terminalReconcileErrors = counter('controller_runtime_terminal_reconcile_errors_total', 'Errors that are not tried again.', [
      'controller',
    ]);
    this.reconcileSeconds = histogram(
      'controller_runtime_reconcile_time_seconds',
      'Time a reconcile took.',
      ['controller'],
      reconcileBuckets,
    );
    this.maxConcurrentReconciles = gauge('controller_runtime_max_concurrent_reconciles', 'Reconciles that may run at once.', [
      'controller',
    ]);
    this.activeWorkers = gauge('controller_runtime_active_workers', 'Reconciles that run now.', ['controller']);

    this.queueDepth = gauge('workqueue_depth', 'Keys that wait.', ['name']);
    this.queueAdds = counter('workqueue_adds_total', 'Keys added.', ['name']);
    this.queueRetries = counter('workqueue_retries_total', 'Keys added again after an error.', ['name']);
    this.queueSeconds = histogram('workqueue_queue_duration_seconds', 'Time a key waited.', ['name'], queueBuckets);
    this.workSeconds = histogram('workqueue_work_duration_seconds', 'Time a key was worked on.', ['name'], queueBuckets);
    const queues = this.#queues;
    const ages = (name: string, help: string, summarise: (agesMs: readonly number[]) => number): Gauge<'name'> =>
      new Gauge({
        name,
        help,
        labelNames: ['name'],
        registers,
        collect() {
          for (const [queue, { underWay }] of queues) this.set({ name: queue }, summarise([...underWay.values()]) / 1000);
        },
      });
    this.unfinishedSeconds = ages('workqueue_unfinished_work_seconds', 'Age of all work under way, added up.', (agesMs) =>
      agesMs.reduce((sum, age) => sum + age, 0),
    );
    this.longestRunningSeconds = ages('workqueue_longest_running_processor_seconds', 'Age of the oldest work under way.', (agesMs) =>
      Math.max(0, ...agesMs),
    );

    this.leader = gauge('leader_election_master_status', '1 when this process holds the lease.', ['name']);

    this.requests = counter('kube_client_requests_total', 'API requests, retries included, by HTTP status, `broken` or `aborted`.', [
      'verb',
      'resource',
      'code',
    ]);
    this.requestDuration = histogram(
      'kube_client_request_duration_seconds',
      'Time of API calls with their retries, watches left out.',
      ['verb', 'resource'],
      reconcileBuckets,
    );

    this.informerObjects = gauge('kube_informer_objects', 'Objects in the cache.', ['resource']);
    this.informerSynced = gauge('kube_informer_synced', '1 once a complete list was seen.', ['resource']);
    this.informerLists = counter('kube_informer_lists_total', 'Lists by cause: start, expired, failed, resync.', ['resource', 'cause']);
    this.informerWatches = counter('kube_informer_watches_total', 'Watches by how they ended: closed, expired, failed, stopped.', [
      'resource',
      'end',
    ]);
    this.informerEvents = counter('kube_informer_events_total', 'Watch events by type.', ['resource', 'type']);
    this.cacheMisses = counter('kube_informer_cache_misses_total', 'Objects that a resync found to differ from the cache.', ['resource']);
    this.handlerErrors = counter('kube_informer_handler_errors_total', 'Exceptions thrown by event handlers.', ['resource']);

    this.events = counter('kube_events_total', 'Events by outcome: sent, dropped, failed.', ['outcome']);
  }

  /** Work queues are asked at scrape time. */
  addQueue(name: string, queue: QueueView): void {
    this.#queues.set(name, queue);
  }

  removeQueue(name: string): void {
    this.#queues.delete(name);
    this.unfinishedSeconds.remove({ name });
    this.longestRunningSeconds.remove({ name });
  }
}
