import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { customResourceDefinition, resourceSchema } from '../../src/api/crd.ts';
import { routerCustomResourceDefinition, routerResourceSchema } from '../../src/api/r2rrouter-crd.ts';
import type { StructuralSchema } from '../../src/api/structural.ts';
import { NotStructuralError, structural } from '../../src/api/structural.ts';

function* nodes(schema: StructuralSchema, path = ''): Generator<readonly [string, StructuralSchema]> {
  yield [path, schema];
  for (const [name, each] of Object.entries(schema.properties ?? {})) yield* nodes(each, `${path}.${name}`);
  if (schema.items) yield* nodes(schema.items, `${path}[]`);
  if (schema.additionalProperties) yield* nodes(schema.additionalProperties, `${path}.*`);
}

const definitions = [
  // Of what an annotation holds, at most.
  { definition: customResourceDefinition(), schema: resourceSchema(), share: 1 / 3 },
  { definition: routerCustomResourceDefinition(), schema: routerResourceSchema(), share: 1 / 3 },
];

for (const { definition, schema: whole, share } of definitions) {
  const { plural, kind } = definition.spec.names;
  describe(`the CRD of ${kind}`, () => {
    it('is checked in as src/api generates it', () => {
      const checkedIn: unknown = parse(readFileSync(`crds/r2r.dev_${plural}.yaml`, 'utf8'));
      assert.deepEqual(checkedIn, JSON.parse(JSON.stringify(definition)), 'run `npm run generate`');
    });

    it('is small enough for a plain kubectl apply, whose annotation holds it as JSON', () => {
      assert.ok(JSON.stringify(definition).length < 262_144 * share);
    });

    const all = [...nodes(whole)].filter(([path]) => !['', '.apiVersion', '.kind', '.metadata'].includes(path));

    it('bounds every string, list and map', () => {
      const unbounded = all.filter(
        ([, { type, enum: values, format, maxLength, maxItems, additionalProperties, maxProperties, ...rest }]) =>
          (type === 'string' && !values && !format && maxLength === undefined) ||
          (type === 'array' && maxItems === undefined) ||
          (additionalProperties && maxProperties === undefined) ||
          (rest['x-kubernetes-int-or-string'] && maxLength === undefined),
      );
      assert.deepEqual(
        unbounded.map(([path]) => path),
        [],
      );
    });

    it('describes every field of the spec', () => {
      const silent = all.filter(([path, { description }]) => path.startsWith('.spec') && !/[\]*]$/.test(path) && !description);
      assert.deepEqual(
        silent.map(([path]) => path),
        ['.spec'],
      );
    });

    it('gives each rule a message that starts with the field', () => {
      for (const [path, schema] of all) {
        for (const { message } of schema['x-kubernetes-validations'] ?? []) assert.match(message, /^[a-zA-Z.]+: \S/, path);
      }
    });
  });
}

describe('structural', () => {
  const convert = (schema: z.ZodType) => structural(z.toJSONSchema(schema, { io: 'input' }));

  it('gives integers the format that fits their range and drops bounds that say nothing', () => {
    assert.deepEqual(convert(z.int32()), { type: 'integer', format: 'int32' });
    assert.deepEqual(convert(z.int()), { type: 'integer', format: 'int64' });
    assert.deepEqual(convert(z.int().min(0).max(7)), { type: 'integer', format: 'int32', minimum: 0, maximum: 7 });
  });

  it('makes integer or string one node', () => {
    assert.deepEqual(convert(z.union([z.int(), z.string()])), { 'x-kubernetes-int-or-string': true });
  });

  it('makes defaulted fields optional and leaves free-form objects free', () => {
    const schema = z.object({ a: z.string().default('x'), b: z.looseObject({}).meta({ 'x-kubernetes-preserve-unknown-fields': true }) });
    assert.deepEqual(convert(schema), {
      type: 'object',
      required: ['b'],
      properties: { a: { type: 'string', default: 'x' }, b: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
    });
  });

  it('leaves the check of times to the API server', () => {
    assert.deepEqual(convert(z.iso.datetime()), { type: 'string', format: 'date-time' });
  });

  const unfit: readonly (readonly [string, z.ZodType, RegExp])[] = [
    ['another union', z.object({ a: z.union([z.boolean(), z.string()]) }), /^a: a field has one type, not boolean or string/],
    ['a nullable field', z.object({ a: z.array(z.string().nullable()) }), /^a\.\[\]: a field has one type, not string or null/],
    ['a union of objects', z.object({ a: z.union([z.object({}), z.string()]) }), /^a: the only union/],
    ['a constant', z.object({ a: z.literal('x') }), /^a: "const" has no counterpart/],
    ['a tuple', z.object({ a: z.tuple([z.string()]) }), /^a: "prefixItems" has no counterpart/],
    ['a field of any type', z.object({ a: z.any() }), /^a: has no type/],
    ['an exclusive bound', z.object({ a: z.number().gt(0) }), /^a: "exclusiveMinimum" has no counterpart/],
  ];
  for (const [what, schema, message] of unfit) {
    it(`throws on ${what} instead of losing it`, () => {
      assert.throws(
        () => convert(schema),
        (error) => error instanceof NotStructuralError && message.test(error.message),
      );
    });
  }
});
