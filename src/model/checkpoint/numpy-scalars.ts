import { describe, PickleObject, PickleTuple, type PicklePlace, type PickleValue } from './pickle-values.ts';

type Reader = (bytes: Buffer, place: PicklePlace) => number | boolean;

const readers: Readonly<Record<string, { readonly bytes: number; readonly read: Reader }>> = {
  f8: { bytes: 8, read: (bytes) => bytes.readDoubleLE() },
  f4: { bytes: 4, read: (bytes) => bytes.readFloatLE() },
  i4: { bytes: 4, read: (bytes) => bytes.readInt32LE() },
  b1: { bytes: 1, read: (bytes) => bytes[0] !== 0 },
  i8: {
    bytes: 8,
    read(bytes, place) {
      const value = Number(bytes.readBigInt64LE());
      if (!Number.isSafeInteger(value)) throw place.error('CHECKPOINT_LIMIT', 'makes an integer beyond 2^53');
      return value;
    },
  },
};

/** A `numpy.dtype` of plain numbers. Its byte order comes after it, as its state. */
export class NumpyDtype extends PickleObject {
  readonly description = 'a numpy.dtype';
  readonly code: string;
  littleEndian = false;

  private constructor(code: string) {
    super();
    this.code = code;
  }

  /** `numpy.dtype(code, align, copy)`. */
  static of([code, align, copy, ...rest]: readonly PickleValue[], place: PicklePlace): NumpyDtype {
    const sound = typeof code === 'string' && Object.hasOwn(readers, code) && typeof align === 'boolean' && typeof copy === 'boolean';
    if (!sound || rest.length > 0) throw place.error('CHECKPOINT_FORBIDDEN', 'calls numpy.dtype for more than a plain number');
    return new NumpyDtype(code);
  }
}

/** The state is `(version, byte order, subtype, names, fields, size, alignment, flags)`; that of a plain number says nothing but the order. */
export function setNumpyState(dtype: NumpyDtype, state: PickleValue, place: PicklePlace): void {
  const items = state instanceof PickleTuple ? state.items : [];
  const [version, order, subtype, names, fields, size, alignment, flags, ...rest] = items;
  const plain =
    subtype === null && names === null && fields === null && size === -1 && alignment === -1 && flags === 0 && rest.length === 0;
  if (version !== 3 || !plain || (order !== '<' && order !== '|'))
    throw place.error('CHECKPOINT_FORBIDDEN', 'sets the state of a numpy.dtype that is no plain little-endian number');
  dtype.littleEndian = true;
}

/** `numpy.core.multiarray.scalar(dtype, bytes)`: a metric or threshold that was left a NumPy number. */
export function numpyNumber([dtype, bytes, ...rest]: readonly PickleValue[], place: PicklePlace): number | boolean {
  const reader = dtype instanceof NumpyDtype && dtype.littleEndian ? readers[dtype.code] : undefined;
  if (!reader || rest.length > 0) throw place.error('CHECKPOINT_FORBIDDEN', `calls numpy's scalar with ${describe(dtype ?? null)}`);
  if (!Buffer.isBuffer(bytes) || bytes.length !== reader.bytes)
    throw place.error('CHECKPOINT_PICKLE', `makes a number of ${reader.bytes} bytes from ${describe(bytes ?? null)}`);
  return reader.read(bytes, place);
}
