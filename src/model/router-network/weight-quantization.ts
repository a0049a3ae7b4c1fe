import type { Linear } from './network-tensors.ts';

/** A layer's weights as 8-bit integers; the weight of (output, input) is `values[input * outputs + output] * scales[output]`. */
export interface QuantizedLinear {
  readonly values: Int8Array;
  readonly scales: Float32Array;
}

/** Rounds each output's weights to 255 even steps that are symmetric about zero, so that the largest one is met exactly. */
export function quantizeWeights({ outputs, inputs, weight }: Linear): QuantizedLinear {
  const values = new Int8Array(outputs * inputs);
  const scales = new Float32Array(outputs);
  for (let output = 0; output < outputs; output++) {
    const row = weight.subarray(output * inputs, (output + 1) * inputs);
    let largest = 0;
    for (const value of row) largest = Math.max(largest, Math.abs(value));
    const scale = Math.fround(largest / 127);
    scales[output] = scale;
    if (scale === 0) continue;
    for (let input = 0; input < inputs; input++)
      values[input * outputs + output] = Math.max(-127, Math.min(127, Math.round((row[input] ?? 0) / scale)));
  }
  return { values, scales };
}
