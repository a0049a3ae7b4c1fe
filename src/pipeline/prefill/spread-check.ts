import { PipelineError } from '../errors.ts';

/** Two candidates for the constant of a row may differ by so many steps of bfloat16 at the size of its best logit. */
const tolerableSteps = 3;
/** In nats, for logits that are small. */
const tolerableSpread = 0.3;
/** Rows that may exceed it, and which share of them. */
const tolerableRows = 10;
const tolerableShare = 0.05;

/** Watches whether the states, the log-probabilities and the LM head of a response belong together. */
export class SpreadCheck {
  readonly #modelFolder: string;
  #rows = 0;
  #over = 0;
  #largest = 0;

  constructor(modelFolder: string) {
    this.#modelFolder = modelFolder;
  }

  add(spread: number, logits: Float32Array): void {
    const step = 2 ** (Math.floor(Math.log2(Math.max(Math.abs(logits[0] ?? 0), Number.MIN_VALUE))) - 7);
    this.#rows++;
    // one that is no number counts as too large
    if (!(spread <= Math.max(tolerableSpread, tolerableSteps * step))) this.#over++;
    this.#largest = Math.max(this.#largest, spread);
  }

  /** @throws PipelineError `PIPELINE_MODEL` */
  conclude(): void {
    if (this.#over <= Math.max(tolerableRows, tolerableShare * this.#rows)) return;
    const problem = `in ${this.#over} of ${this.#rows} rows the log-probabilities of the SLM's server do not follow from its hidden states and the LM head in ${this.#modelFolder} (by up to ${this.#largest.toFixed(1)})`;
    throw new PipelineError('PIPELINE_MODEL', problem, 'let the server serve that model, without changes to logits', {
      field: 'engines.slm',
    });
  }
}
