import { PipelineError } from '../errors.ts';
import type { VerdictRow } from '../tables.ts';

/** Verdicts on the mismatches behind a question's positions: 0, 1, or -1 where none could be had. */
export type Verdicts = ReadonlyMap<number, number>;

/**
 * Reads verdicts question by question, forward only, so that those of one question are in memory.
 *
 * They come with the position of the token that differs; here they are by the position before, whose row predicted it.
 */
export class VerdictReader {
  readonly #rows: AsyncIterator<VerdictRow>;
  #next: Promise<IteratorResult<VerdictRow, unknown>> | undefined;

  /** @param rows in order of data_id */
  constructor(rows: AsyncIterable<VerdictRow>) {
    this.#rows = rows[Symbol.asyncIterator]();
  }

  /** @param dataId larger than the one before @throws PipelineError when a position is judged twice */
  async of(dataId: number): Promise<Verdicts> {
    const verdicts = new Map<number, number>();
    for (;;) {
      this.#next ??= this.#rows.next();
      const next = await this.#next;
      if (next.done || next.value.data_id > dataId) return verdicts;
      this.#next = undefined;
      const { data_id: found, token_id: at, divergent } = next.value;
      if (found < dataId) continue;
      // a join with a key that is there twice would shift all rows behind it
      if (verdicts.has(at - 1)) throw inconsistent(`there are two verdicts on token ${at} of question ${dataId}`);
      verdicts.set(at - 1, divergent);
    }
  }

  async close(): Promise<void> {
    await this.#rows.return?.();
  }
}

/** The verdicts do not belong to these predictions. */
export function inconsistent(problem: string): PipelineError {
  return new PipelineError('PIPELINE_INPUT_MISSING', problem, 'remove the step and run it again', { step: 'verify', file: 'verdicts' });
}
