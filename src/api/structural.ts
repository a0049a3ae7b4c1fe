/** A node of a structural OpenAPI v3 schema, the dialect CustomResourceDefinitions are written in. */
export interface StructuralSchema {
  description?: string;
  type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  format?: 'int32' | 'int64' | 'date-time';
  default?: unknown;
  enum?: readonly unknown[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  maxProperties?: number;
  pattern?: string;
  items?: StructuralSchema;
  properties?: Record<string, StructuralSchema>;
  additionalProperties?: StructuralSchema;
  required?: readonly string[];
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-preserve-unknown-fields'?: boolean;
  'x-kubernetes-list-type'?: string;
  'x-kubernetes-list-map-keys'?: readonly string[];
  'x-kubernetes-validations'?: readonly { readonly rule: string; readonly message: string }[];
}

/** A construct of JSON schema that a CRD cannot express, with the place in the schema where it stands. */
export class NotStructuralError extends Error {
  readonly code = 'NOT_STRUCTURAL';

  constructor(path: string, problem: string) {
    super(`${path || '(root)'}: ${problem}`);
    this.name = 'NotStructuralError';
  }
}

type Json = Readonly<Record<string, unknown>>;

/** Keywords kept as they are, in the order they are written. */
const kept = [
  'description',
  'type',
  'format',
  'default',
  'enum',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'maxProperties',
  'pattern',
  'required',
] as const;
const dropped = new Set(['$schema', 'propertyNames']);

/**
 * Turns zod's JSON schema (draft 2020-12, `io: 'input'`) into a structural schema: int-or-string unions become
 * `x-kubernetes-int-or-string`, zod's safe-integer bounds become a format, what a CRD cannot hold is dropped where that loses nothing.
 * Throws {@link NotStructuralError} for everything else, so that no rule disappears unnoticed.
 */
export function structural(schema: unknown, path = ''): StructuralSchema {
  if (!isObject(schema)) throw new NotStructuralError(path, 'a schema must be an object');
  const node = schema.anyOf === undefined ? integerFormat(dateTime(schema)) : intOrString(schema, path);
  for (const key of Object.keys(node)) {
    const known =
      (kept as readonly string[]).includes(key) ||
      dropped.has(key) ||
      key.startsWith('x-kubernetes-') ||
      ['properties', 'additionalProperties', 'items'].includes(key);
    if (!known) throw new NotStructuralError(path, `"${key}" has no counterpart in a CRD`);
  }
  const result: Record<string, unknown> = {};
  for (const key of kept) if (node[key] !== undefined) result[key] = node[key];
  if (isObject(node.properties) && Object.keys(node.properties).length > 0) {
    result.properties = Object.fromEntries(
      Object.entries(node.properties).map(([name, each]) => [name, structural(each, join(path, name))]),
    );
  }
  if (isObject(node.additionalProperties) && Object.keys(node.additionalProperties).length > 0) {
    result.additionalProperties = structural(node.additionalProperties, join(path, '*'));
  }
  if (node.items !== undefined) result.items = structural(node.items, join(path, '[]'));
  for (const [key, value] of Object.entries(node)) if (key.startsWith('x-kubernetes-')) result[key] = value;
  if (Array.isArray(node.type)) throw new NotStructuralError(path, `a field has one type, not ${node.type.join(' or ')}`);
  if (typeof node.type !== 'string' && !node['x-kubernetes-int-or-string']) throw new NotStructuralError(path, 'has no type');
  return result;
}

function intOrString(schema: Json, path: string): Json {
  const { anyOf, ...rest } = schema;
  const types = Array.isArray(anyOf) ? anyOf.map((each: unknown) => (isObject(each) ? each.type : undefined)) : [];
  if (types.length !== 2 || !types.includes('integer') || !types.includes('string')) {
    throw new NotStructuralError(path, 'the only union a CRD can hold is integer or string');
  }
  return { ...rest, 'x-kubernetes-int-or-string': true };
}

function integerFormat(schema: Json): Json {
  if (schema.type !== 'integer') return schema;
  const { minimum, maximum, ...rest } = schema;
  const int32 = typeof maximum === 'number' && maximum <= 2 ** 31 - 1;
  return {
    ...rest,
    format: int32 ? 'int32' : 'int64',
    ...(typeof minimum === 'number' && minimum > -(2 ** 31) && { minimum }),
    ...(typeof maximum === 'number' && maximum < 2 ** 31 - 1 && { maximum }),
  };
}

/** The API server checks the format `date-time` itself; zod's regular expression for it would only be longer. */
function dateTime(schema: Json): Json {
  if (schema.format !== 'date-time') return schema;
  const { pattern: _, ...rest } = schema;
  return rest;
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
