/** Monitoring with prometheus-operator and Grafana, as plain objects: for the manifest, the Helm chart and kustomize. */
import type { KubeObject } from '../../src/manifests/index.ts';
import { dashboardConfigMaps } from './dashboard-config-maps.ts';
import type { MonitoringOptions } from './options.ts';
import { podMonitors } from './pod-monitors.ts';
import { prometheusRule } from './prometheus-rule.ts';

export { dashboardConfigMaps } from './dashboard-config-maps.ts';
export { dashboards } from './dashboards/index.ts';
export type { MonitoringOptions } from './options.ts';
export { podMonitors } from './pod-monitors.ts';
export { alerts, prometheusRule, ruleGroups } from './prometheus-rule.ts';

/** All of it. The kinds of monitoring.coreos.com must be known to the cluster. */
export function monitoringObjects(options: MonitoringOptions = {}): readonly KubeObject[] {
  return [...podMonitors(options), prometheusRule(options), ...dashboardConfigMaps(options)];
}
