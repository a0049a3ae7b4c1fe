/** Rounds to bfloat16 (8 significant bits, ties to even), in place. Shape and unit stay; NaN stays NaN. */
export function roundToBfloat16(values: Float32Array): Float32Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    const value = bits[i] ?? 0;
    if ((value & 0x7fffffff) > 0x7f800000) continue;
    bits[i] = (value + 0x7fff + ((value >>> 16) & 1)) & 0xffff0000;
  }
  return values;
}

/** Rounds to float16, in place. */
export function roundToFloat16(values: Float32Array): Float32Array {
  for (let i = 0; i < values.length; i++) values[i] = Math.f16round(values[i] ?? 0);
  return values;
}

/** bfloat16 bit patterns as float32 values. */
export function bfloat16ToFloat32(source: Uint16Array): Float32Array {
  const bits = new Uint32Array(source.length);
  for (let i = 0; i < source.length; i++) bits[i] = (source[i] ?? 0) << 16;
  return new Float32Array(bits.buffer);
}

/** float16 bit patterns as float32 values. */
export function float16ToFloat32(source: Uint16Array): Float32Array {
  const values = new Float32Array(source.length);
  for (let i = 0; i < source.length; i++) {
    const half = source[i] ?? 0;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    const magnitude =
      exponent === 0
        ? fraction * 2 ** -24
        : exponent === 31
          ? fraction === 0
            ? Infinity
            : NaN
          : (1 + fraction / 1024) * 2 ** (exponent - 15);
    values[i] = half & 0x8000 ? -magnitude : magnitude;
  }
  return values;
}
