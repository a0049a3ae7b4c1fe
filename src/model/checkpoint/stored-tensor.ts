import { bfloat16ToFloat32, float16ToFloat32 } from '../number-formats.ts';
import { PickleObject } from './pickle-values.ts';
import type { ArchiveEntry } from './archive.ts';
import type { CheckpointTensor } from './checkpoint.ts';
import type { CheckpointFile } from './checkpoint-file.ts';

export type ElementType = CheckpointTensor['type'];

export const elementBytes: Readonly<Record<ElementType, number>> = {
  float32: 4,
  float16: 2,
  bfloat16: 2,
  float64: 8,
  int64: 8,
  int32: 4,
  bool: 1,
};

/** The data that tensors are views of: one archive entry. */
export class TensorStorage extends PickleObject {
  readonly description = 'a storage';
  readonly type: ElementType;
  readonly entry: ArchiveEntry;
  readonly elements: number;

  constructor(type: ElementType, entry: ArchiveEntry) {
    super();
    this.type = type;
    this.entry = entry;
    this.elements = entry.size / elementBytes[type];
  }
}

/** Where a tensor begins in its storage and how it goes on, in elements. */
export interface TensorView {
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** A tensor that was checked: every element lies in the storage, and it has no more elements than that. */
export class StoredTensor extends PickleObject implements TensorView {
  readonly description = 'a tensor';
  readonly storage: TensorStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(storage: TensorStorage, view: TensorView) {
    super();
    this.storage = storage;
    this.offset = view.offset;
    this.shape = view.shape;
    this.strides = view.strides;
  }
}

/** Number of elements. */
export function count(shape: readonly number[]): number {
  return shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, 1);
}

/** Index of the last element, in elements from the first. */
function lastElement({ shape, strides }: TensorView): number {
  return shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] ?? 0), 0);
}

/** Why a view does not fit `storage`; undefined when it does. Numbers too large for a double to hold exactly fail the comparisons too. */
export function viewProblem(view: TensorView, storage: TensorStorage): string | undefined {
  const numbers = [view.offset, ...view.shape, ...view.strides];
  if (!numbers.every((value) => Number.isSafeInteger(value) && value >= 0)) return 'a size, stride or offset that is no count';
  if (view.shape.length !== view.strides.length) return `${view.shape.length} sizes and ${view.strides.length} strides`;
  const elements = count(view.shape);
  if (view.offset > storage.elements) return `its start at element ${view.offset} of ${storage.elements}`;
  if (elements > storage.elements) return `${elements} elements in a storage of ${storage.elements}`;
  if (elements > 0 && view.offset + lastElement(view) >= storage.elements)
    return `its last element at ${view.offset + lastElement(view)} of ${storage.elements}`;
  return undefined;
}

/** int64 as float32. Beyond 2^53 it is rounded twice. */
function fromInt64(source: ArrayBuffer): Float32Array {
  const words = new DataView(source);
  return Float32Array.from(
    { length: source.byteLength / 8 },
    (_, i) => words.getInt32(8 * i + 4, true) * 2 ** 32 + words.getUint32(8 * i, true),
  );
}

function toFloat32(type: ElementType, source: ArrayBuffer): Float32Array {
  switch (type) {
    case 'float32':
      return new Float32Array(source);
    case 'float16':
      return float16ToFloat32(new Uint16Array(source));
    case 'bfloat16':
      return bfloat16ToFloat32(new Uint16Array(source));
    case 'float64':
      return new Float32Array(new Float64Array(source));
    case 'int32':
      return new Float32Array(new Int32Array(source));
    case 'int64':
      return fromInt64(source);
    case 'bool':
      return new Float32Array(new Uint8Array(source).map((value) => (value === 0 ? 0 : 1)));
  }
}

/** `values[0]` is the view's first element; gives all of them row-major. */
function gather(values: Float32Array, { shape, strides }: TensorView): Float32Array {
  const result = new Float32Array(count(shape));
  const index = shape.map(() => 0);
  let source = 0;
  for (let target = 0; target < result.length; target++) {
    result[target] = values[source] ?? NaN;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const next = (index[axis] ?? 0) + 1;
      const stride = strides[axis] ?? 0;
      if (next < (shape[axis] ?? 0)) {
        index[axis] = next;
        source += stride;
        break;
      }
      index[axis] = 0;
      source -= (next - 1) * stride;
    }
  }
  return result;
}

/** All values as float32, row-major. Reads the part of the storage that the view spans. */
export async function readTensor(file: CheckpointFile, tensor: StoredTensor): Promise<Float32Array> {
  const { storage, offset } = tensor;
  const elements = count(tensor.shape);
  const spanned = elements === 0 ? 0 : lastElement(tensor) + 1;
  const bytes = elementBytes[storage.type];
  const { buffer } = await file.read(storage.entry.offset + offset * bytes, spanned * bytes);
  await file.assertUnchanged();
  const values = toFloat32(storage.type, buffer as ArrayBuffer);
  let contiguous = 1;
  const rowMajor = tensor.shape.toReversed().every((size, back) => {
    const stride = tensor.strides.at(-1 - back);
    const matches = size === 1 || stride === contiguous;
    contiguous *= size;
    return matches;
  });
  return elements === 0 || rowMajor ? values : gather(values, tensor);
}
