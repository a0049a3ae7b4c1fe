import type { Registry } from 'prom-client';

/** The metrics of this room, registered in the caller's registry: controller_runtime_*, workqueue_*, leader_election_master_status, kube_*. */
export declare class KubeMetrics {
  constructor(registry: Registry);
}
