import type { BenchmarkAnswer, BenchmarkRequest } from '../api/router-work.ts';
import { EngineError } from '../sglang/index.ts';
import type { LlmPool } from './llm-pool.ts';

/** A routed call brings about as many tokens that are not in the prefix cache yet: those emitted since the LLM was asked last. */
const newTokens = 8;
/** Length that a sequence begins with, and at which another is begun. */
const sequence = { first: 128, longest: 512 } as const;
const concurrencies = [1, 2, 4, 8, 16, 32, 64, 128, 256] as const;
/** A step that brings less than this is not worth a longer queue. */
const worthwhile = 1.05;
/** How often it is seen whether clients have come. */
const lookMs = 20;

export interface LlmBenchmarkOptions {
  readonly pool: Pick<LlmPool, 'replicas' | 'contextLength'>;
  /** Ids below this are known to both models. */
  readonly validIds: number;
  /** Clients want the replicas for themselves. */
  readonly busy: () => boolean;
  /** Milliseconds that only go forward. */
  readonly now?: () => number;
}

/**
 * How many calls a second one LLM replica answers within the latency target: calls as routing makes them, one token after a sequence that
 * has grown by a few, with ever more of them at once until they take too long or no more get through. Ends at once when clients come.
 */
export async function benchmarkLlm(
  { pool, validIds, busy, now = () => performance.now() }: LlmBenchmarkOptions,
  { seconds, latencyTargetMs }: BenchmarkRequest,
  signal: AbortSignal,
): Promise<BenchmarkAnswer> {
  const engine = pool.replicas.find(({ available }) => available)?.engine;
  if (!engine) return { message: 'no LLM replica takes calls' };
  if (busy()) return { message: 'clients are being answered' };
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const look = setInterval(() => {
    if (busy()) over.abort(new Error('clients came'));
  }, lookMs).unref();
  const longest = Math.min(sequence.longest, (pool.contextLength ?? sequence.longest) - 1);
  const stepMs = (seconds * 1000) / concurrencies.length;
  let serial = 0;

  /** One caller after another's answer, until `endMs`. The first call reads the sequence and does not count. */
  const caller = async (endMs: number, latencies: number[]): Promise<void> => {
    let ids: number[] = [];
    while (now() < endMs) {
      const fresh = ids.length === 0 || ids.length + newTokens > longest;
      if (fresh) ids = idsOf(serial++, Math.min(sequence.first, longest), validIds);
      else ids = [...ids, ...idsOf(serial++, newTokens, validIds)];
      const started = now();
      await engine.generate({ ids, maxNewTokens: 1, timeoutMs: Math.max(10_000, 10 * latencyTargetMs) }, either);
      if (!fresh) latencies.push(now() - started);
    }
  };

  let best = 0;
  try {
    for (const concurrency of concurrencies) {
      const latencies: number[] = [];
      const started = now();
      await Promise.all(Array.from({ length: concurrency }, () => caller(started + stepMs, latencies)));
      const rate = latencies.length / ((now() - started) / 1000);
      if (latencies.length === 0) break;
      const p95 = latencies.toSorted((a, b) => a - b)[Math.min(latencies.length - 1, Math.floor(latencies.length * 0.95))] ?? 0;
      // One that is too slow for a single caller still does so many calls.
      if (p95 > latencyTargetMs && best > 0) break;
      const grew = rate > best * worthwhile;
      best = Math.max(best, rate);
      if (!grew || p95 > latencyTargetMs) break;
    }
  } catch (error) {
    over.abort();
    signal.throwIfAborted();
    if (busy()) return { message: 'clients came' };
    if (error instanceof EngineError) return { message: `the LLM replica failed: ${error.code}` };
    return { message: error instanceof Error ? error.message : String(error) };
  } finally {
    clearInterval(look);
    over.abort();
  }
  return best > 0 ? { callsPerSecond: best } : { message: 'no call was answered in time' };
}

/** Token ids that no other sequence of this test begins with. */
function idsOf(serial: number, length: number, validIds: number): number[] {
  return Array.from({ length }, (_, index) => (serial * 7919 + index * 31 + 1) % validIds);
}
