import type { ComputeType } from '../../model/model-config.ts';
import { roundToBfloat16, roundToFloat16 } from '../../model/number-formats.ts';
import type { RowTable } from '../../model/row-table.ts';
import type { PrefilledRow } from '../../sglang/index.ts';

/** Best tokens whose LM-head rows are looked at. */
const candidateCount = 5;

export interface RecoveredRow {
  /** float32, descending as the log-probabilities. */
  readonly logits: Float32Array;
  /** Largest minus smallest of the candidates for the constant: next to nothing when state, log-probabilities and LM head belong together. */
  readonly spread: number;
}

/**
 * Turns log-probabilities back into raw logits, as the router does when it serves (model/router-network/logit-recovery.ts): a server says log p_i =
 * z_i - c, the product of the state and a token's LM-head row is that token's z, the five best give five candidates for c, and their median is
 * right although one or two were rounded the other way.
 */
export class LogitRecovery {
  readonly #lmHead: RowTable;
  readonly #type: ComputeType;
  readonly #rows: Float32Array;
  readonly #products = new Float32Array(candidateCount);

  /** @param type what the server rounds logits to */
  constructor(lmHead: RowTable, type: ComputeType) {
    this.#lmHead = lmHead;
    this.#type = type;
    this.#rows = new Float32Array(candidateCount * lmHead.width);
  }

  /** @param row has at least five entries @throws RowTableError */
  recover({ hidden, top }: PrefilledRow): RecoveredRow {
    const { width } = this.#lmHead;
    this.#lmHead.gather(top.ids.subarray(0, candidateCount), this.#rows);
    for (let candidate = 0; candidate < candidateCount; candidate++) {
      let sum = 0;
      for (let column = 0, at = candidate * width; column < width; column++, at++) sum += (hidden[column] ?? 0) * (this.#rows[at] ?? 0);
      this.#products[candidate] = sum;
    }
    const constants = Float64Array.from(
      this.#snap(this.#products),
      (product, candidate) => product - (top.logprobs[candidate] ?? 0),
    ).sort();
    const median = constants[(candidateCount - 1) / 2] ?? 0;
    const logits = Float32Array.from(top.logprobs, (logprob) => logprob + median);
    return { logits: this.#snap(logits), spread: (constants.at(-1) ?? 0) - (constants[0] ?? 0) };
  }

  #snap(values: Float32Array): Float32Array {
    if (this.#type === 'bfloat16') return roundToBfloat16(values);
    return this.#type === 'float16' ? roundToFloat16(values) : values;
  }
}
