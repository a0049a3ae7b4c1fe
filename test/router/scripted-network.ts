import type { BundleManifest } from '../../src/model/bundle-manifest.ts';
import type { LoadNetwork } from '../../src/router/live-routing.ts';
import { noSignals, type Scorer } from '../../src/router/scoring/signals.ts';

/** Values of the hidden states that the scripted network takes. */
export const stateSize = 4;
/** First value of the hidden state of a token that the scripted network calls divergent, and of one that it does not. */
export const states = { divergent: Float32Array.of(1, 0.5, 0.25, 0.125), plain: Float32Array.of(0, 0.5, 0.25, 0.125) };

const digest = '0'.repeat(64);
const manifest: BundleManifest = {
  formatVersion: 1,
  network: 'Scripted',
  inputs: ['hidden', 'logprobs'],
  classes: 1,
  hiddenSize: stateSize,
  embeddingSize: stateSize,
  logitsSize: 100,
  parameters: 0,
  threshold: 0.5,
  logitsType: 'bfloat16',
  slm: { name: 'scripted', vocabSize: 400, embeddingDigest: digest, lmHeadDigest: digest },
  graphs: {},
  metrics: {},
  provenance: { checkpointDigest: null, source: 'scripted' },
};

/** What a strategy `neural` needs of the configuration. */
export const neuralConfig = { strategy: 'neural', threshold: 0.5, checkpoint: { uri: 'scripted' } } as const;

/**
 * A router network whose probability is the first value of the hidden state.
 *
 * @param score called first; what it throws is thrown
 */
export function scriptedNetwork(score: () => void = () => undefined): LoadNetwork {
  const scorer: Scorer = {
    topLogprobs: 100,
    hiddenStates: true,
    async score(rows) {
      await new Promise(setImmediate);
      score();
      return rows.map(({ hidden }) => ({ ...noSignals, probability: hidden?.[0] ?? Number.NaN }));
    },
  };
  return () =>
    Promise.resolve({
      digest,
      manifest,
      scorerFor: () => scorer,
      stats: () => ({ up: true, loadMs: 0, rows: 0, batches: 0, waitingRows: 0, runningRows: 0, runMs: 0, failures: 0, spread: undefined }),
      close: () => Promise.resolve(),
    });
}
