import type { ComputeType } from '../model/model-config.ts';
import { bfloat16ToFloat32, float16ToFloat32, roundToBfloat16, roundToFloat16 } from '../model/number-formats.ts';

/** Little-endian bytes of numbers, rounded to a type: exact for values that are of this type. */
export function packVector(values: Float32Array, type: ComputeType): Uint8Array {
  switch (type) {
    case 'float32':
      return packed(values.length, 4, (view, index) => view.setFloat32(4 * index, values[index] ?? 0, true));
    case 'bfloat16': {
      const rounded = roundToBfloat16(Float32Array.from(values));
      const bits = new Uint32Array(rounded.buffer);
      return packed(values.length, 2, (view, index) => view.setUint16(2 * index, (bits[index] ?? 0) >>> 16, true));
    }
    case 'float16': {
      const rounded = roundToFloat16(Float32Array.from(values));
      return packed(values.length, 2, (view, index) => view.setUint16(2 * index, float16Bits(rounded[index] ?? 0), true));
    }
  }
}

/** What {@link packVector} wrote, as float32. */
export function unpackVector(bytes: Uint8Array, type: ComputeType): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (type === 'float32') return Float32Array.from({ length: bytes.byteLength / 4 }, (_, index) => view.getFloat32(4 * index, true));
  const bits = Uint16Array.from({ length: bytes.byteLength / 2 }, (_, index) => view.getUint16(2 * index, true));
  return type === 'bfloat16' ? bfloat16ToFloat32(bits) : float16ToFloat32(bits);
}

/** Little-endian int32. */
export function packIntegers(values: ArrayLike<number>): Uint8Array {
  return packed(values.length, 4, (view, index) => view.setInt32(4 * index, values[index] ?? 0, true));
}

export function unpackIntegers(bytes: Uint8Array): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Int32Array.from({ length: bytes.byteLength / 4 }, (_, index) => view.getInt32(4 * index, true));
}

function packed(length: number, width: number, set: (view: DataView, index: number) => void): Uint8Array {
  const view = new DataView(new ArrayBuffer(length * width));
  for (let index = 0; index < length; index++) set(view, index);
  return new Uint8Array(view.buffer);
}

/** Bits of a value that float16 holds exactly. */
function float16Bits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(magnitude)) return 0x7e00;
  if (magnitude === Infinity) return sign | 0x7c00;
  if (magnitude < 2 ** -14) return sign | Math.round(magnitude * 2 ** 24);
  const exponent = Math.floor(Math.log2(magnitude));
  return sign | ((exponent + 15) << 10) | ((magnitude / 2 ** exponent - 1) * 1024);
}
