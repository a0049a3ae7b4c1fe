import { z } from 'zod';
import { group, kind, plural, r2rDeploymentSchema, version } from './r2rdeployment.ts';
import { structural } from './structural.ts';
import type { StructuralSchema } from './structural.ts';

const columns = [
  ['Ready', 'string', '.status.conditions[?(@.type=="Ready")].status', 'Whether requests are answered.'],
  ['SLM', 'string', '.status.summary.slm', 'Ready and wanted SLM pods.'],
  ['LLM', 'string', '.status.summary.llm', 'Ready and wanted LLM pods.'],
  ['LLM%', 'string', '.status.summary.llmRatio', 'Share of tokens supplied by the LLM over the last minute.'],
  ['Tok/s', 'string', '.status.summary.tokensPerSecond', 'Tokens a second over the last minute.'],
  ['Age', 'date', '.metadata.creationTimestamp', ''],
] as const;

const wideColumns = [
  ['Threshold', 'number', '.status.router.threshold', 'Routing threshold in force.'],
  ['Params', 'string', '.status.summary.params', 'Parameters used for a token on average.'],
  ['URL', 'string', '.status.endpoint', 'Base URL inside the cluster.'],
  ['Reason', 'string', '.status.conditions[?(@.type=="Ready")].reason', 'Why it is ready or not.'],
] as const;

function column([name, type, jsonPath, description]: readonly [string, string, string, string], priority: number): object {
  return { name, type, jsonPath, ...(description && { description }), ...(priority > 0 && { priority }) };
}

/** The structural schema of the whole resource, apiVersion, kind and metadata included. */
export function resourceSchema(): StructuralSchema {
  const { properties, ...rest } = structural(z.toJSONSchema(r2rDeploymentSchema, { io: 'input' }));
  return { ...rest, properties: { apiVersion: { type: 'string' }, kind: { type: 'string' }, metadata: { type: 'object' }, ...properties } };
}

/** The CustomResourceDefinition, as a plain object: typed serializers would drop its `x-kubernetes-*` keys. */
export function customResourceDefinition() {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}`, labels: { 'app.kubernetes.io/name': 'r2r', 'app.kubernetes.io/part-of': 'r2r-kubernetes' } },
    spec: {
      group,
      names: { kind, listKind: `${kind}List`, plural, singular: 'r2rdeployment', shortNames: ['r2r'], categories: ['all'] },
      scope: 'Namespaced',
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: resourceSchema() },
          subresources: {
            status: {},
            scale: {
              specReplicasPath: '.spec.llm.replicas',
              statusReplicasPath: '.status.llm.replicas',
              labelSelectorPath: '.status.selector',
            },
          },
          additionalPrinterColumns: [...columns.map((each) => column(each, 0)), ...wideColumns.map((each) => column(each, 1))],
        },
      ],
    },
  };
}
