import { HttpError } from './http-error.ts';
import { isObject, type JsonObject } from './json-object.ts';

/** What a value becomes, or undefined when it cannot be read that way. */
type Reader = { readonly wants: string; readonly read: (value: unknown) => unknown };

const truths: Readonly<Record<string, boolean>> = {
  true: true,
  t: true,
  yes: true,
  y: true,
  on: true,
  1: true,
  false: false,
  f: false,
  no: false,
  n: false,
  off: false,
  0: false,
};

function readBoolean(value: unknown): boolean | undefined {
  if (typeof value === 'boolean') return value;
  if (value === 0 || value === 1) return value === 1;
  const word = typeof value === 'string' ? value.toLowerCase() : '';
  return Object.hasOwn(truths, word) ? truths[word] : undefined;
}

function readNumber(value: unknown): number | undefined {
  if (typeof value === 'boolean') return Number(value);
  if (typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value))) return Number(value);
  return typeof value === 'number' ? value : undefined;
}

export const boolean: Reader = { wants: 'a valid boolean', read: readBoolean };
export const float: Reader = { wants: 'a valid number', read: readNumber };
export const integer: Reader = {
  wants: 'a valid integer',
  read(value) {
    const number = readNumber(value);
    return Number.isInteger(number) ? number : undefined;
  },
};
export const string: Reader = { wants: 'a valid string', read: (value) => (typeof value === 'string' ? value : undefined) };
export const object: Reader = { wants: 'a valid dictionary', read: (value) => (isObject(value) ? value : undefined) };

export function listOf(item: Reader): Reader {
  return {
    wants: `a list, each entry ${item.wants}`,
    read(value) {
      if (!Array.isArray(value)) return undefined;
      const read = value.map((each: unknown) => item.read(each));
      return read.includes(undefined) ? undefined : read;
    },
  };
}

/** The first reader that can read the value. */
export function oneOf(...readers: readonly Reader[]): Reader {
  return {
    wants: readers.map(({ wants }) => wants).join(' or '),
    read: (value) => readers.map((reader) => reader.read(value)).find((read) => read !== undefined),
  };
}

export interface LaxSchema {
  readonly fields: Readonly<Record<string, Reader>>;
  /** Fields that must be there. */
  readonly required?: readonly string[];
  /** Fields that may be left out but not be null. */
  readonly notNull?: readonly string[];
}

/**
 * Reads a body as SGLang's web framework does: `"5"` is a number where one is wanted, and unknown fields pass. Throws the framework's error,
 * naming the field.
 */
export function readLax(body: unknown, { fields, required = [], notNull = [] }: LaxSchema): JsonObject {
  if (!isObject(body)) throw HttpError.invalidBody('1 validation error: body: Input should be a valid dictionary');
  const read: Record<string, unknown> = { ...body };
  for (const name of required)
    if (body[name] === undefined) throw HttpError.invalidBody(`1 validation error: body.${name}: Field required`);
  for (const [name, reader] of Object.entries(fields)) {
    const value = body[name];
    if (value === undefined || (value === null && !required.includes(name) && !notNull.includes(name))) continue;
    read[name] = reader.read(value);
    if (read[name] === undefined) throw HttpError.invalidBody(`1 validation error: body.${name}: Input should be ${reader.wants}`);
  }
  return read;
}
