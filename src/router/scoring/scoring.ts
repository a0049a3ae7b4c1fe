import { recoveryRows, type BundleManifest } from '../../model/bundle-manifest.ts';
import { entropy } from '../entropy.ts';
import { scoredLogprobs } from '../strategy.ts';
import { ScoringError } from './errors.ts';
import { numbersPerRow } from './messages.ts';
import { NetworkService, type ServiceOptions } from './network-service.ts';
import { isComplete } from './row-batch.ts';
import type { ScoringStats } from './scoring-stats.ts';
import { noSignals, type ScorableRow, type Scorer, type SignalName, type Signals } from './signals.ts';
import { evidenceLogits } from './uncertainty.ts';

/** A bundle at work: what scores rows for any number of requests, until another takes over. */
export interface Scoring {
  /** Of the bundle. */
  readonly digest: string;
  readonly manifest: BundleManifest;
  /** @throws ScoringError `signal_unavailable` naming what the bundle lacks */
  scorerFor(signals: readonly SignalName[]): Scorer;
  stats(): ScoringStats;
  close(): Promise<void>;
}

/**
 * Loads a bundle's network in a thread of its own, after checking every file of the bundle and that it was made for this SLM.
 *
 * @throws ScoringError
 */
export async function openScoring(options: ServiceOptions): Promise<Scoring> {
  const service = await NetworkService.start(options);
  const { digest, manifest } = service.facts;
  return {
    digest,
    manifest,
    scorerFor: (signals) => scorerOf(signals, service),
    stats: () => service.stats,
    close: () => service.close(),
  };
}

/**
 * For strategies that look at no network: computes the entropy, when asked, where it is called.
 *
 * @throws ScoringError `signal_unavailable` for the others
 */
export function plainScorer(signals: readonly SignalName[]): Scorer {
  const other = signals.find((signal) => signal !== 'entropy');
  if (other) throw new ScoringError('signal_unavailable', `${other} needs a router bundle, and none is loaded`);
  const wanted = signals.includes('entropy');
  return {
    topLogprobs: wanted ? scoredLogprobs : 0,
    hiddenStates: false,
    score: (rows, signal) => {
      if (signal.aborted) return Promise.reject(signal.reason as Error);
      return Promise.resolve(rows.map((row) => (wanted ? { ...noSignals, entropy: entropyOf(row) } : noSignals)));
    },
  };
}

function scorerOf(signals: readonly SignalName[], service: NetworkService): Scorer {
  const { manifest } = service.facts;
  const asks = (signal: SignalName): boolean => signals.includes(signal);
  if (!signals.some((signal) => signal !== 'entropy')) return plainScorer(signals);
  assertAvailable(signals, manifest);
  const takesLogprobs = manifest.inputs.includes('logprobs') || manifest.inputs.includes('lm_head');
  return {
    topLogprobs: Math.max(takesLogprobs ? Math.max(manifest.logitsSize, recoveryRows) : 0, asks('entropy') ? scoredLogprobs : 0),
    hiddenStates: manifest.inputs.includes('hidden') || manifest.inputs.includes('lm_head'),
    async score(rows, signal) {
      const complete = rows.map((row) => isComplete(row, manifest));
      const numbers = await service.score(
        rows.filter((_, index) => complete[index]),
        signal,
      );
      let at = 0;
      return rows.map((row, index): Signals => {
        const entropyNats = asks('entropy') ? entropyOf(row) : Number.NaN;
        if (!complete[index]) return { ...noSignals, entropy: entropyNats };
        const [probability = Number.NaN, aleatoric = Number.NaN, epistemic = Number.NaN] = numbers.subarray(at, (at += numbersPerRow));
        return { probability, entropy: entropyNats, aleatoric, epistemic };
      });
    },
  };
}

function assertAvailable(signals: readonly SignalName[], { classes, inputs, logitsSize }: BundleManifest): void {
  if (signals.includes('probability') && classes === 0)
    throw new ScoringError('signal_unavailable', 'probability needs a router network, and the bundle has none; import a checkpoint');
  const uncertainty = signals.find((signal) => signal === 'aleatoric' || signal === 'epistemic');
  if (!uncertainty) return;
  if (!inputs.includes('lm_head'))
    throw new ScoringError('signal_unavailable', `${uncertainty} needs raw logits, which the bundle's network does without`);
  if (logitsSize < evidenceLogits)
    throw new ScoringError('signal_unavailable', `${uncertainty} needs ${evidenceLogits} raw logits, the bundle has ${logitsSize}`);
}

/** Over the best 100 whatever else was asked for, so that it does not depend on the bundle. */
function entropyOf({ top }: ScorableRow): number {
  if (!top) return Number.NaN;
  return entropy(
    top.ids.length <= scoredLogprobs
      ? top
      : { ids: top.ids.subarray(0, scoredLogprobs), logprobs: top.logprobs.subarray(0, scoredLogprobs) },
  );
}
