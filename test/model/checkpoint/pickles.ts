import { opcodes } from '../../../src/model/checkpoint/opcodes.ts';

/** Bytes to be put into a pickle as they are. */
export class Raw {
  readonly bytes: Buffer;

  constructor(...parts: readonly (number | string | Buffer)[]) {
    this.bytes = Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.of(part) : Buffer.from(part as string))));
  }
}

export type Pickled = null | boolean | number | string | Raw | readonly Pickled[] | { readonly [key: string]: Pickled };

const op = opcodes;

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** A value's operations, without a memo: lists, dicts, text, integers below 256, floats. */
export function value(item: Pickled): Buffer {
  if (item instanceof Raw) return item.bytes;
  if (item === null) return Buffer.of(op.NONE);
  if (typeof item === 'boolean') return Buffer.of(item ? op.NEWTRUE : op.NEWFALSE);
  if (typeof item === 'string') return Buffer.concat([Buffer.of(op.BINUNICODE), uint32(Buffer.byteLength(item)), Buffer.from(item)]);
  if (typeof item === 'number') {
    if (Number.isInteger(item) && item >= 0 && item < 2 ** 31) return Buffer.concat([Buffer.of(op.BININT), uint32(item)]);
    const bytes = Buffer.alloc(9, op.BINFLOAT);
    bytes.writeDoubleBE(item, 1);
    return bytes;
  }
  if (Array.isArray(item))
    return Buffer.concat([Buffer.of(op.EMPTY_LIST, op.MARK), ...(item as Pickled[]).map(value), Buffer.of(op.APPENDS)]);
  const entries = Object.entries(item).flatMap(([key, content]) => [value(key), value(content)]);
  return Buffer.concat([Buffer.of(op.EMPTY_DICT, op.MARK), ...entries, Buffer.of(op.SETITEMS)]);
}

export function tuple(...items: readonly Pickled[]): Raw {
  return new Raw(op.MARK, ...items.map(value), op.TUPLE);
}

export function global(name: string): Raw {
  const dot = name.lastIndexOf('.');
  return new Raw(op.GLOBAL, `${name.slice(0, dot)}\n${name.slice(dot + 1)}\n`);
}

/** `callable(*args)`. */
export function call(callable: Pickled, ...args: readonly Pickled[]): Raw {
  return new Raw(value(callable), value(tuple(...args)), op.REDUCE);
}

export const orderedDict = call(global('collections.OrderedDict'));

export function storage(type: string, key: Pickled, elements: Pickled): Raw {
  return new Raw(value(tuple('storage', global(`torch.${type}`), key, 'cpu', elements)), op.BINPERSID);
}

/** A tensor as torch pickles it; `strides` default to those of a contiguous one. */
export function tensor(view: {
  of: Pickled;
  offset?: Pickled;
  shape: readonly number[];
  strides?: readonly number[];
  hooks?: Pickled;
}): Raw {
  const contiguous = view.shape.map((_, axis) => view.shape.slice(axis + 1).reduce((product, size) => product * size, 1));
  return call(
    global('torch._utils._rebuild_tensor_v2'),
    view.of,
    view.offset ?? 0,
    tuple(...view.shape),
    tuple(...(view.strides ?? contiguous)),
    false,
    view.hooks ?? orderedDict,
  );
}

export function pickle(item: Pickled, protocol = 2): Buffer {
  return Buffer.concat([Buffer.of(op.PROTO, protocol), value(item), Buffer.of(op.STOP)]);
}

/** A checkpoint's dict, with what matters to a test. */
export function checkpointPickle(parts: { readonly [key: string]: Pickled } = {}): Buffer {
  return pickle({ model_type: 'LogitsClassifier', init_args: {}, common_args: {}, model_specific_args: {}, state_dict: {}, ...parts });
}
