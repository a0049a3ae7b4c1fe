import type { GenerateAnswer } from './answer.ts';

/** A checked answer in few, large arrays: what goes from thread to thread without being copied. Rows are tokens. */
export interface PackedAnswer {
  readonly ids: Int32Array<ArrayBuffer>;
  readonly finish: GenerateAnswer['finish'];
  readonly cachedTokens: number;
  /** Both [tokens, count]. */
  readonly top?: { readonly count: number; readonly ids: Int32Array<ArrayBuffer>; readonly logprobs: Float64Array<ArrayBuffer> };
  /** [tokens, width] */
  readonly hidden?: { readonly width: number; readonly values: Float32Array<ArrayBuffer> };
}

/** The answer by tokens, whose arrays are views of the packed ones. */
export function unpackAnswer({ ids, finish, cachedTokens, top, hidden }: PackedAnswer): GenerateAnswer {
  const release = (): void => {
    // a buffer that moves into one of no length is freed at once
    if (hidden?.values.buffer.detached === false) hidden.values.buffer.transfer(0);
  };
  return {
    tokens: Array.from(ids, (id, index) => ({
      id,
      ...(top && { top: { ids: row(top.ids, index, top.count), logprobs: row(top.logprobs, index, top.count) } }),
      ...(hidden && { hidden: row(hidden.values, index, hidden.width), release }),
    })),
    finish,
    cachedTokens,
  };
}

/** The buffers to transfer with a packed answer. */
export function buffersOf({ ids, top, hidden }: PackedAnswer): ArrayBuffer[] {
  return [ids.buffer, ...(top ? [top.ids.buffer, top.logprobs.buffer] : []), ...(hidden ? [hidden.values.buffer] : [])];
}

function row<T extends Int32Array | Float32Array | Float64Array>(values: T, index: number, width: number): T {
  return values.subarray(index * width, (index + 1) * width) as T;
}
