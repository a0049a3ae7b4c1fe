import type { CheckpointError, CheckpointErrorCode } from './errors.ts';

/** A tuple: what is passed to calls, and shapes. */
export class PickleTuple {
  readonly items: readonly PickleValue[];

  constructor(items: readonly PickleValue[]) {
    this.items = items;
  }
}

export class PickleList {
  readonly items: PickleValue[] = [];
}

/** A dict or an OrderedDict; keys are strings and integers. */
export class PickleDict {
  readonly entries = new Map<string | number, PickleValue>();
  readonly ordered: boolean;

  constructor(ordered: boolean) {
    this.ordered = ordered;
  }
}

/** Something that is no plain value: a global, a storage, a tensor. */
export abstract class PickleObject {
  /** What it is, for messages. */
  abstract readonly description: string;
}

/** What a pickle can make. Integers and floats are both numbers, the integers within ±2^53; bytes only as arguments of calls. */
export type PickleValue = null | boolean | number | string | Buffer | PickleTuple | PickleList | PickleDict | PickleObject;

/** The operation in progress: makes errors that name it and its byte. */
export interface PicklePlace {
  error(code: CheckpointErrorCode, problem: string, fix?: string): CheckpointError;
}

/** All that a pickle may name or call; whatever is asked for beyond it must throw `place.error(…)`. */
export interface PickleObjects {
  global(module: string, name: string, place: PicklePlace): PickleValue;
  /** What `callable(*args)` would make. Nothing is called: the known ones are imitated. */
  reduce(callable: PickleValue, args: PickleValue, place: PicklePlace): PickleValue;
  /** What `object.__setstate__(state)` would do. */
  build(object: PickleValue, state: PickleValue, place: PicklePlace): void;
  persistent(id: PickleValue, place: PicklePlace): PickleValue;
}

/** What a value is, for messages. */
export function describe(value: PickleValue): string {
  if (value === null) return 'None';
  if (Buffer.isBuffer(value)) return 'bytes';
  if (value instanceof PickleObject) return value.description;
  if (value instanceof PickleTuple) return 'a tuple';
  if (value instanceof PickleList) return 'a list';
  if (value instanceof PickleDict) return value.ordered ? 'an OrderedDict' : 'a dict';
  return typeof value === 'string' ? 'a string' : typeof value === 'number' ? 'a number' : 'a boolean';
}

function children(value: PickleValue): Iterable<PickleValue> {
  if (value instanceof PickleTuple || value instanceof PickleList) return value.items;
  return value instanceof PickleDict ? value.entries.values() : [];
}

/** Why a value is no finite tree of at most `maxDepth` containers inside one another; undefined when it is one. Visits each object once. */
export function shapeProblem(root: PickleValue, maxDepth: number): 'refers to itself' | 'is nested too deep' | undefined {
  const heights = new Map<PickleValue, number>();
  const onPath = new Set<PickleValue>();
  const visit = (value: PickleValue, depth: number): number | 'refers to itself' | 'is nested too deep' => {
    if (!(value instanceof PickleTuple || value instanceof PickleList || value instanceof PickleDict)) return 0;
    if (onPath.has(value)) return 'refers to itself';
    const known = heights.get(value);
    if (known !== undefined) return depth + known > maxDepth ? 'is nested too deep' : known;
    if (depth >= maxDepth) return 'is nested too deep';
    onPath.add(value);
    let height = 0;
    for (const child of children(value)) {
      const below = visit(child, depth + 1);
      if (typeof below === 'string') return below;
      height = Math.max(height, below);
    }
    onPath.delete(value);
    heights.set(value, height + 1);
    return height + 1;
  };
  const result = visit(root, 0);
  return typeof result === 'string' ? result : undefined;
}
