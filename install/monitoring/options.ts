export interface MonitoringOptions {
  /** Where the operator runs; monitors, rules and dashboards lie there, too. @default r2r-system */
  readonly namespace?: string;
  /** On PodMonitors and the PrometheusRule, such as `release: kube-prometheus-stack`: many a Prometheus takes only those with its label. @default none */
  readonly labels?: Readonly<Record<string, string>>;
  /** Time between two scrapes. @default 30s */
  readonly interval?: string;
  /** Where docs/monitoring.md can be read, for the links of alerts. @default the repository's */
  readonly runbookUrl?: string;
  /** On the ConfigMaps of dashboards: the label by which Grafana's sidecar finds them. @default grafana_dashboard: "1" */
  readonly dashboardLabels?: Readonly<Record<string, string>>;
}

export const monitoringDefaults = {
  namespace: 'r2r-system',
  labels: {},
  interval: '30s',
  runbookUrl: 'https://github.com/r2r-kubernetes/r2r-kubernetes/blob/main/docs/monitoring.md',
  dashboardLabels: { grafana_dashboard: '1' },
} as const satisfies Required<MonitoringOptions>;

/** On all of them. */
export const monitoringLabels = { 'app.kubernetes.io/name': 'r2r-monitoring', 'app.kubernetes.io/part-of': 'r2r-kubernetes' } as const;

/** Value of the target label `r2r_component`, by which queries tell our series from others of the same name. */
export type ScrapedComponent = 'operator' | 'router' | 'pipeline';
