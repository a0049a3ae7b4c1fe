/** The little of Grafana's dashboard model (schema version 39) that these dashboards use. */
import type { JsonObject } from '../../../src/manifests/index.ts';

export interface Query {
  readonly expr: string;
  /** Legend, with labels in `{{ }}`. */
  readonly legend: string;
}

export type Unit = 'short' | 'percentunit' | 's' | 'reqps' | 'ops' | 'bytes' | 'none';

export interface Panel {
  readonly title: string;
  /** Shown behind the panel's i. */
  readonly about?: string;
  readonly kind?: 'timeseries' | 'stat' | 'table';
  readonly unit?: Unit;
  readonly queries: readonly Query[];
  /** Areas on top of each other, for parts of a whole. */
  readonly stacked?: boolean;
}

export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

export interface Variable {
  readonly name: string;
  readonly label: string;
  /** Grafana's label_values(…). */
  readonly query: string;
  readonly multi?: boolean;
}

export interface DashboardOptions {
  readonly uid: string;
  readonly title: string;
  readonly about: string;
  readonly variables: readonly Variable[];
  readonly rows: readonly Row[];
}

const datasource = { type: 'prometheus', uid: '${datasource}' } as const;
const columns = 24;
const panelHeight = 8;

/** Lays rows of panels out from left to right. */
export function dashboard({ uid, title, about, variables, rows }: DashboardOptions): JsonObject {
  const panels: JsonObject[] = [];
  let y = 0;
  for (const row of rows) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y, w: columns, h: 1 },
      panels: [],
    });
    y += 1;
    const perLine = Math.min(row.panels.length, 3);
    const width = columns / perLine;
    for (const [index, panel] of row.panels.entries()) {
      const position = { x: (index % perLine) * width, y: y + Math.floor(index / perLine) * panelHeight, w: width, h: panelHeight };
      panels.push(panelJson(panel, panels.length + 1, position));
    }
    y += Math.ceil(row.panels.length / perLine) * panelHeight;
  }
  return {
    uid,
    title,
    description: about,
    tags: ['r2r'],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-3h', to: 'now' },
    timepicker: {},
    annotations: { list: [] },
    links: [{ type: 'dashboards', tags: ['r2r'], title: 'R2R', asDropdown: true, includeVars: true, keepTime: true }],
    templating: {
      list: [
        { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', current: {}, hide: 0 },
        ...variables.map(({ name, label, query, multi = false }) => ({
          name,
          label,
          type: 'query',
          datasource,
          definition: query,
          query: { query, refId: name },
          refresh: 2,
          sort: 1,
          multi,
          includeAll: multi,
          current: {},
        })),
      ],
    },
    panels,
  };
}

function panelJson(
  { title, about, kind = 'timeseries', unit = 'short', queries, stacked = false }: Panel,
  id: number,
  gridPos: JsonObject,
): JsonObject {
  const custom = { lineWidth: 1, fillOpacity: stacked ? 40 : 8, showPoints: 'never', stacking: { mode: stacked ? 'normal' : 'none' } };
  const options: Readonly<Record<NonNullable<Panel['kind']>, JsonObject>> = {
    timeseries: { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
    stat: { reduceOptions: { calcs: ['lastNotNull'] }, colorMode: 'value', graphMode: 'area' },
    table: { showHeader: true },
  };
  return {
    id,
    type: kind,
    title,
    ...(about !== undefined && { description: about }),
    datasource,
    gridPos,
    fieldConfig: { defaults: { unit, ...(unit === 'percentunit' && { min: 0 }), ...(kind === 'timeseries' && { custom }) }, overrides: [] },
    options: options[kind],
    targets: queries.map(({ expr, legend }, index) => ({
      refId: String.fromCharCode(65 + index),
      datasource,
      expr,
      legendFormat: legend,
      ...(kind === 'table' ? { format: 'table', instant: true } : { range: true }),
    })),
  };
}

/** p50, p95 and p99 of a histogram. */
export function quantiles(histogram: string, matchers: string, by: readonly string[] = []): readonly Query[] {
  const name = by.map((label) => `{{${label}}} `).join('');
  return [0.5, 0.95, 0.99].map((quantile) => ({
    expr: `histogram_quantile(${quantile}, sum by (${['le', ...by].join(', ')}) (rate(${histogram}_bucket{${matchers}}[$__rate_interval])))`,
    legend: `${name}p${quantile * 100}`,
  }));
}
