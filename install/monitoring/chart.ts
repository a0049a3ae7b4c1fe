import { ApiObject, Chart } from 'cdk8s';
import type { Construct } from 'constructs';
import { monitoringObjects } from './index.ts';
import type { MonitoringOptions } from './options.ts';

/** PodMonitors, rules and dashboards as a chart of their own: a cluster without prometheus-operator refuses them. */
export class Monitoring extends Chart {
  constructor(scope: Construct, id: string, options: MonitoringOptions = {}) {
    super(scope, id, { disableResourceNameHashes: true });
    for (const object of monitoringObjects(options)) new ApiObject(this, `${object.kind}-${object.metadata.name}`, { ...object });
  }
}
