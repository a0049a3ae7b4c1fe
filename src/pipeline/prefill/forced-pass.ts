import { SequenceJson, type PrefillAnswer, type PrefillCall, type PrefilledRow } from '../../sglang/index.ts';
import { PipelineError } from '../errors.ts';

/** How often a sequence is begun again because the engine has forgotten what it had read of it. */
const maxRestarts = 3;

export interface ForcedPassOptions {
  /** Positions of one call. */
  readonly segmentTokens: number;
  readonly topLogprobs: number;
  /** The engine caches whole pages of so many tokens. */
  readonly pageSize: number;
  readonly prefill: (call: Omit<PrefillCall, 'timeoutMs'>) => Promise<PrefillAnswer>;
  /** A text that nobody has used before. */
  readonly newKey: () => string;
}

/** Rows of consecutive positions. */
export interface Segment {
  readonly from: number;
  readonly rows: readonly PrefilledRow[];
}

/**
 * What the model says after each token of a sequence that it is made to read, segment by segment, each position once and in order. No more than a
 * segment is in memory, however long the sequence.
 *
 * In bfloat16 the last bits of a row depend on the pieces in which everything before it was computed. So the pieces are always the same: the
 * segments from 0 on, under a cache key of their own, since what the engine has cached for others may have been computed otherwise. When it has
 * lost a part (it was short of memory, or has been restarted) the segments are computed again from 0, and those that were had are passed over.
 *
 * @throws PipelineError `PIPELINE_ENGINE` when it goes on losing what it has read; what `prefill` throws
 */
export async function* forcedPass(ids: readonly number[], options: ForcedPassOptions): AsyncGenerator<Segment> {
  const { segmentTokens, topLogprobs, pageSize, prefill, newKey } = options;
  let cacheKey = newKey();
  let idsJson = SequenceJson.empty;
  let restarts = 0;
  let done = 0;
  for (let from = 0; from < ids.length;) {
    const to = Math.min(from + segmentTokens, ids.length);
    idsJson = idsJson.append(ids.slice(from, to));
    const { rows, cachedTokens } = await prefill({ ids: ids.slice(0, to), idsJson, from, topLogprobs, cacheKey });
    if (cachedTokens < from - (from % pageSize)) {
      if (restarts++ === maxRestarts) throw forgetful(from, cachedTokens);
      cacheKey = newKey();
      idsJson = SequenceJson.empty;
      from = 0;
      continue;
    }
    if (to > done) {
      yield { from, rows };
      done = to;
    }
    from = to;
  }
}

function forgetful(read: number, cached: number): PipelineError {
  const problem = `the SLM's server had ${cached} of ${read} tokens in its cache, which it had read just before, ${maxRestarts + 1} times`;
  const fix = 'give it more memory for its cache, or make fewer calls at a time';
  return new PipelineError('PIPELINE_ENGINE', problem, fix, { field: 'engines.slm' });
}
