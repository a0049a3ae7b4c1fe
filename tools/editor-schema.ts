import { apiVersion } from '../src/api/r2rdeployment.ts';
import type { StructuralSchema } from '../src/api/structural.ts';

/**
 * JSON schema for editors (YAML language servers): as the CRD, but an unknown field is an error, so that typing mistakes show at once.
 * Rules written in CEL are left to the API server.
 */
export function editorSchema({ kind, schema }: { readonly kind: string; readonly schema: StructuralSchema }): object {
  const { apiVersion: _a, kind: _k, metadata: _m, status: _s, ...properties } = schema.properties ?? {};
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: kind,
    description: schema.description,
    type: 'object',
    additionalProperties: false,
    required: ['apiVersion', 'kind', 'metadata', 'spec'],
    properties: {
      apiVersion: { const: apiVersion },
      kind: { const: kind },
      metadata: { type: 'object' },
      status: { type: 'object' },
      ...Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, node(each)])),
    },
  };
}

function node(schema: StructuralSchema): object {
  const {
    properties,
    items,
    additionalProperties,
    'x-kubernetes-preserve-unknown-fields': freeForm,
    'x-kubernetes-int-or-string': intOrString,
    ...rest
  } = schema;
  const plain = Object.fromEntries(Object.entries(rest).filter(([key]) => !key.startsWith('x-kubernetes-')));
  return {
    ...plain,
    ...(intOrString && { type: ['integer', 'string'] }),
    ...(properties && {
      properties: Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, node(each)])),
      ...(!freeForm && { additionalProperties: false }),
    }),
    ...(additionalProperties && { additionalProperties: node(additionalProperties) }),
    ...(items && { items: node(items) }),
  };
}
