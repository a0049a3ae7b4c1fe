import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError } from './errors.ts';
import { ScoringError } from './scoring/errors.ts';
import type { ScorableRow, Scorer, Signals } from './scoring/signals.ts';

export interface ScoringPatience {
  /** Waits before each further try; as for the SLM. @default [50, 200, 800, 2_000] */
  readonly delaysMs?: readonly number[];
  /** How long all tries may take together: a network that is being loaded again lets rows wait. @default 30_000 */
  readonly timeoutMs?: number;
}

/**
 * Scores rows again when the network's thread was lost, which restarts by itself. A row's signals do not depend on when it is scored, so the
 * answer stays what it would have been.
 *
 * Its scorer throws the signal's reason; ApiError `router_network_unavailable` when the tries are used up or the network is closed, `engine_error`
 * when the rows are not of the SLM that the network was made for.
 */
export function retryingScorer(scorer: Scorer, patience: ScoringPatience = {}): Scorer {
  const { delaysMs = [50, 200, 800, 2_000], timeoutMs = 30_000 } = patience;
  return {
    topLogprobs: scorer.topLogprobs,
    hiddenStates: scorer.hiddenStates,
    async score(rows: readonly ScorableRow[], signal: AbortSignal): Promise<readonly Signals[]> {
      try {
        return await scorer.score(rows, signal);
      } catch (error) {
        signal.throwIfAborted();
        return await scoreAgain(scorer, rows, error, { delaysMs, timeoutMs }, signal);
      }
    },
  };
}

async function scoreAgain(
  scorer: Scorer,
  rows: readonly ScorableRow[],
  first: unknown,
  { delaysMs, timeoutMs }: Required<ScoringPatience>,
  signal: AbortSignal,
): Promise<readonly Signals[]> {
  const late = AbortSignal.timeout(timeoutMs);
  const either = AbortSignal.any([signal, late]);
  let cause = first;
  for (const delay of delaysMs) {
    if (!(cause instanceof ScoringError) || !cause.retryable) break;
    try {
      await sleep(delay, undefined, { signal: either });
      return await scorer.score(rows, either);
    } catch (error) {
      signal.throwIfAborted();
      if (late.aborted) break;
      cause = error;
    }
  }
  throw forClients(cause);
}

/** What a row is refused for can name sizes and files: it goes to the log, as the cause. */
function forClients(cause: unknown): unknown {
  if (!(cause instanceof ScoringError)) return cause;
  if (cause.code === 'row_invalid')
    return new ApiError('engine_error', "the SLM server's answer does not fit the router network; the router's log has the details", {
      cause,
    });
  return new ApiError('router_network_unavailable', 'the router network cannot score tokens now; try again later', { cause });
}
