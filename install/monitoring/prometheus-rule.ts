import type { JsonObject, KubeObject } from '../../src/manifests/index.ts';
import { deploymentAlerts, operatorAlerts, routerAlerts } from './alerts.ts';
import type { Alert } from './alerts.ts';
import { monitoringDefaults, monitoringLabels } from './options.ts';
import type { MonitoringOptions } from './options.ts';
import { recordings } from './recordings.ts';
import { scalingAlerts } from './scaling.ts';

export const alerts: readonly Alert[] = [...operatorAlerts, ...deploymentAlerts, ...scalingAlerts, ...routerAlerts];

/** `groups` of a Prometheus rules file: recordings, and the alerts. */
export function ruleGroups(options: MonitoringOptions = {}): readonly JsonObject[] {
  const { runbookUrl } = { ...monitoringDefaults, ...options };
  const group = (name: string, list: readonly Alert[]): JsonObject => ({
    name,
    rules: list.map((alert) => ({
      alert: alert.name,
      expr: alert.expr,
      for: alert.for,
      labels: { severity: alert.severity },
      annotations: {
        summary: alert.summary,
        description: alert.description,
        runbook_url: `${runbookUrl}#${alert.name.toLowerCase()}`,
      },
    })),
  });
  return [
    { name: 'r2r.recordings', interval: '1m', rules: recordings.map((rule) => ({ ...rule })) },
    group('r2r.operator', operatorAlerts),
    group('r2r.deployments', [...deploymentAlerts, ...scalingAlerts]),
    group('r2r.routers', routerAlerts),
  ];
}

export function prometheusRule(options: MonitoringOptions = {}): KubeObject {
  const { namespace, labels } = { ...monitoringDefaults, ...options };
  return {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'r2r', namespace, labels: { ...monitoringLabels, ...labels } },
    spec: { groups: ruleGroups(options) },
  };
}
