const hidden = -1e30;
/** float32 values in a vector register of the CPUs that SGLang's figures come from (AVX-512). */
const vectorWidth = 16;

/** Query rows that PyTorch's fused attention handles at a time, for a sequence of this length. */
function queryBlock(sequenceLength: number): number {
  if (sequenceLength >= 768) return 256;
  return sequenceLength >= 192 ? 64 : 32;
}

/** Masks of the attention scores [new tokens, all tokens so far]. */
export class AttentionMasks {
  #zeros = new Float32Array(1024);

  /** 0 for a token itself and all earlier ones, a very negative number for later ones; one token alone sees everything. */
  visibility(count: number, past: number): Float32Array {
    const width = past + count;
    if (count === 1) {
      if (width > this.#zeros.length) this.#zeros = new Float32Array(2 * width);
      return this.#zeros.subarray(0, width);
    }
    const mask = new Float32Array(count * width);
    for (let row = 0; row < count; row++) mask.fill(hidden, row * width + past + row + 1, (row + 1) * width);
    return mask;
  }

  /**
   * 1 where PyTorch's kernel takes exponentials a vector at a time: up to the last whole vector of the keys it reads for a block of queries
   * (it reads keys up to the end of the block, and no further than the sequence, which may be longer than this run).
   */
  vectorized(count: number, past: number, sequenceLength: number): Uint8Array {
    const width = past + count;
    const block = queryBlock(sequenceLength);
    const mask = new Uint8Array(count * width);
    for (let row = 0; row < count; row++) {
      const keys = Math.min((Math.floor((past + row) / block) + 1) * block, sequenceLength);
      mask.fill(1, row * width, row * width + Math.min(keys - (keys % vectorWidth), width));
    }
    return mask;
  }
}
