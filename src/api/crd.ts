import { z } from 'zod';
import { group, kind, plural, r2rDeploymentSchema, version } from './r2rdeployment.ts';
import { structural } from './structural.ts';
import type { StructuralSchema } from './structural.ts';

const columns = [
  ['Ready', 'string', '.status.conditions[?(@.type=="Ready")].status', 'Whether requests are answered, or are not to be.'],
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

type Column = readonly [name: string, type: string, jsonPath: string, description: string];

function column([name, type, jsonPath, description]: Column, priority: number): object {
  return { name, type, jsonPath, ...(description && { description }), ...(priority > 0 && { priority }) };
}

/** The structural schema of a whole resource, apiVersion, kind and metadata included. */
export function wholeSchema(resource: z.ZodType): StructuralSchema {
  const { properties, ...rest } = structural(z.toJSONSchema(resource, { io: 'input' }));
  return { ...rest, properties: { apiVersion: { type: 'string' }, kind: { type: 'string' }, metadata: { type: 'object' }, ...properties } };
}

export interface Definition {
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortName: string;
  readonly schema: StructuralSchema;
  /** Subresources beside `status`. */
  readonly subresources?: object;
  readonly columns: readonly Column[];
  /** Shown with `-o wide`. */
  readonly wideColumns: readonly Column[];
}

/** Of a resource that no operator has looked at: older than any generation, so that kstatus (Flux) does not take a missing status for a reached one. */
const unobserved = { observedGeneration: 0 } as const;

/** `schema` with {@link unobserved} as the default of status. */
function withUnobservedStatus(schema: StructuralSchema): StructuralSchema {
  const { status, ...others } = schema.properties ?? {};
  return { ...schema, properties: { ...others, ...(status && { status: { ...status, default: unobserved } }) } };
}

/** A CustomResourceDefinition, as a plain object: typed serializers would drop its `x-kubernetes-*` keys. */
export function definition({ kind, plural, singular, shortName, schema, subresources, columns, wideColumns }: Definition) {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}`, labels: { 'app.kubernetes.io/name': 'r2r', 'app.kubernetes.io/part-of': 'r2r-kubernetes' } },
    spec: {
      group,
      names: { kind, listKind: `${kind}List`, plural, singular, shortNames: [shortName], categories: ['all'] },
      scope: 'Namespaced',
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: withUnobservedStatus(schema) },
          subresources: { status: {}, ...subresources },
          additionalPrinterColumns: [...columns.map((each) => column(each, 0)), ...wideColumns.map((each) => column(each, 1))],
        },
      ],
    },
  };
}

/** The structural schema of an R2RDeployment. */
export function resourceSchema(): StructuralSchema {
  return wholeSchema(r2rDeploymentSchema);
}

/** The CustomResourceDefinition of R2RDeployments. */
export function customResourceDefinition() {
  return definition({
    kind,
    plural,
    singular: 'r2rdeployment',
    shortName: 'r2r',
    schema: resourceSchema(),
    subresources: {
      scale: {
        specReplicasPath: '.spec.llm.replicas',
        statusReplicasPath: '.status.llm.replicas',
        labelSelectorPath: '.status.selector',
      },
    },
    columns,
    wideColumns,
  });
}
