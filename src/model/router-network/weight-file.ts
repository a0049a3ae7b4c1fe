import type { DataPlace } from '../graph-builder.ts';

/** Tensors start at multiples of this, a cache line. */
const alignment = 64;

/** Lays tensors out in one file, which the runtime reads beside the graph. */
export class WeightFile {
  readonly name: string;
  readonly #chunks: Uint8Array[] = [];
  #byteLength = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** The bytes of the file, in order. */
  get chunks(): readonly Uint8Array[] {
    return this.#chunks;
  }

  add(values: Float32Array | Int8Array): DataPlace {
    const padding = -this.#byteLength & (alignment - 1);
    if (padding > 0) this.#append(new Uint8Array(padding));
    const place = { file: this.name, offset: this.#byteLength, byteLength: values.byteLength };
    this.#append(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    return place;
  }

  #append(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#byteLength += bytes.byteLength;
  }
}
