import type { KubeObject } from '../../src/manifests/index.ts';
import { dashboards } from './dashboards/index.ts';
import { monitoringDefaults, monitoringLabels } from './options.ts';
import type { MonitoringOptions } from './options.ts';

/** Each dashboard as a ConfigMap, which the sidecar of Grafana's chart loads by its label. */
export function dashboardConfigMaps(options: MonitoringOptions = {}): readonly KubeObject[] {
  const { namespace, dashboardLabels } = { ...monitoringDefaults, ...options };
  return Object.entries(dashboards()).map(([name, dashboard]) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: `r2r-dashboard-${name}`, namespace, labels: { ...monitoringLabels, ...dashboardLabels } },
    data: { [`r2r-${name}.json`]: `${JSON.stringify(dashboard, null, 2)}\n` },
  }));
}
