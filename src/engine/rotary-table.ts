import type { ComputeType, ModelConfig } from '../model/model-config.ts';
import { roundToBfloat16, roundToFloat16 } from '../model/number-formats.ts';

/** Angular frequency of each pair of a head's dimensions, in radians a token, with Llama 3's scaling where the model has it. */
function frequencies({ headSize, ropeTheta, ropeScaling }: ModelConfig): Float32Array {
  const plain = Float32Array.from({ length: headSize / 2 }, (_, pair) => 1 / Math.fround(ropeTheta ** Math.fround((2 * pair) / headSize)));
  if (!ropeScaling) return plain;
  const { factor, lowFrequencyFactor, highFrequencyFactor, originalMaxPositions } = ropeScaling;
  return plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < originalMaxPositions / highFrequencyFactor) return frequency;
    if (wavelength > originalMaxPositions / lowFrequencyFactor) return frequency / factor;
    const smooth = (originalMaxPositions / wavelength - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

function rounded(values: Float32Array, type: ComputeType): Float32Array {
  if (type === 'float32') return values;
  return type === 'bfloat16' ? roundToBfloat16(values) : roundToFloat16(values);
}

/**
 * Rotary factors by position, computed when first needed and kept. Each row has `headSize` values: the factors of both halves of a head,
 * with the sine of the first half negated, as the decoder graph expects them.
 */
export class RotaryTable {
  readonly #config: ModelConfig;
  readonly #frequencies: Float32Array;
  #cos: Float32Array = new Float32Array();
  #sin: Float32Array = new Float32Array();
  #length = 0;

  constructor(config: ModelConfig) {
    this.#config = config;
    this.#frequencies = frequencies(config);
  }

  /** Factors of positions `first` to `first + count - 1`: two views of count x headSize values. */
  rows(first: number, count: number): { readonly cos: Float32Array; readonly sin: Float32Array } {
    const { headSize } = this.#config;
    if (first + count > this.#length) this.#grow(Math.max(first + count, 2 * this.#length, 256));
    return {
      cos: this.#cos.subarray(first * headSize, (first + count) * headSize),
      sin: this.#sin.subarray(first * headSize, (first + count) * headSize),
    };
  }

  #grow(length: number): void {
    const { headSize, computeType } = this.#config;
    const half = headSize / 2;
    const cos = new Float32Array(length * headSize);
    const sin = new Float32Array(length * headSize);
    for (let position = 0; position < length; position++) {
      for (let pair = 0; pair < half; pair++) {
        const angle = Math.fround(position * (this.#frequencies[pair] ?? 0));
        const at = position * headSize + pair;
        cos[at] = cos[at + half] = Math.cos(angle);
        sin[at + half] = Math.sin(angle);
        sin[at] = -(sin[at + half] ?? 0);
      }
    }
    this.#cos = rounded(cos, computeType);
    this.#sin = rounded(sin, computeType);
    this.#length = length;
  }
}
