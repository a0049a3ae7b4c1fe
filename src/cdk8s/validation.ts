import type { ApiObject } from 'cdk8s';
import type { z } from 'zod';
import { maxNameLength, namePattern } from '../api/resource-name.ts';
import type { StructuralSchema } from '../api/structural.ts';

/** Has `app.synth()` say what is wrong with the object, all of it at once. */
export function addResourceValidation(object: ApiObject, spec: z.ZodType, resource: StructuralSchema): void {
  object.node.addValidation({
    validate: () => {
      // As it will be written: lazy values are there by now.
      const written = object.toJson() as { readonly spec?: unknown };
      return [...nameProblems(object.name), ...specProblems(spec, resource.properties?.spec ?? {}, written.spec ?? {})];
    },
  });
}

/**
 * What is wrong with a spec, one sentence for each field: what the operator's own schema refuses, and fields that it does not know. Rules
 * between fields are the API server's to check (`kubectl apply --dry-run=server`).
 */
export function specProblems(schema: z.ZodType, structure: StructuralSchema, spec: unknown): string[] {
  const parsed = schema.safeParse(spec);
  const refused = parsed.success ? [] : parsed.error.issues.map(({ path, message }) => `${['spec', ...path].join('.')}: ${message}`);
  return [...refused, ...unknownFields(structure, spec, 'spec')];
}

function nameProblems(name: string): string[] {
  return [
    ...(name.length > maxNameLength
      ? [`metadata.name: ${name} has ${name.length} characters, and at most ${maxNameLength} are taken; set a shorter metadata.name`]
      : []),
    ...(new RegExp(namePattern).test(name)
      ? []
      : [`metadata.name: ${name} must start with a letter and contain only lower-case letters, digits and -`]),
  ];
}

function unknownFields(schema: StructuralSchema, value: unknown, path: string): string[] {
  if (schema['x-kubernetes-preserve-unknown-fields'] || typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((each, index) => unknownFields(schema.items ?? {}, each, `${path}.${index}`));
  const { properties, additionalProperties } = schema;
  return Object.entries(value).flatMap(([key, each]) => {
    const field = properties?.[key] ?? additionalProperties;
    if (field) return unknownFields(field, each, `${path}.${key}`);
    if (!properties) return [];
    return [`${path}.${key}: there is no such field; there are ${Object.keys(properties).join(', ')}`];
  });
}
