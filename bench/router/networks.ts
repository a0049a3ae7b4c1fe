import { Worker } from 'node:worker_threads';
import type { LoadNetwork } from '../../src/router/live-routing.ts';
import { noSignals, openScoring, type ScorableRow, type Scorer, type Scoring, type Signals } from '../../src/router/scoring/index.ts';
import { isDivergent } from './script.ts';

/** Whatever a network says, the script decides. */
const scripted = (rows: readonly ScorableRow[]): readonly Signals[] =>
  rows.map(({ id }) => ({ ...noSignals, probability: isDivergent(id) ? 1 : 0 }));

const manifest = {
  formatVersion: 1,
  network: 'emulated',
  inputs: ['hidden', 'embedding', 'logprobs'],
  classes: 1,
  hiddenSize: 1536,
  embeddingSize: 1536,
  logitsSize: 100,
  parameters: 56_302_081,
  threshold: 0.5,
  logitsType: 'bfloat16',
  slm: { name: 'emulated', vocabSize: 512, embeddingDigest: '0'.repeat(64), lmHeadDigest: '0'.repeat(64) },
  graphs: {},
  metrics: {},
  provenance: { checkpointDigest: null, source: 'bench' },
} as const;

/** Waits as long as a GPU would compute: a timer of the event loop is too coarse. */
const waiter = `
  const { parentPort } = require('node:worker_threads');
  const doorbell = new Int32Array(new SharedArrayBuffer(4));
  parentPort.on('message', (ms) => {
    const end = performance.now() + ms;
    for (let left = ms; left > 0; left = end - performance.now()) Atomics.wait(doorbell, 0, 0, left);
    parentPort.postMessage(0);
  });`;

/** A network on a GPU: every batch takes the same time, whatever its rows; the rows of all requests that wait go in one. */
export function emulatedNetwork(batchMs: number): LoadNetwork {
  return () => {
    const worker = new Worker(waiter, { eval: true });
    const waiting: (() => void)[] = [];
    let busy = false;
    let batches = 0;
    const next = (): void => {
      if (busy || waiting.length === 0) return;
      busy = true;
      batches++;
      const batch = waiting.splice(0);
      worker.once('message', () => {
        busy = false;
        next();
        for (const done of batch) done();
      });
      worker.postMessage(batchMs);
    };
    const scorer: Scorer = {
      topLogprobs: 100,
      hiddenStates: true,
      score: (rows) =>
        new Promise((resolve) => {
          waiting.push(() => resolve(scripted(rows)));
          next();
        }),
    };
    const scoring: Scoring = {
      digest: 'emulated',
      manifest: { ...manifest, inputs: [...manifest.inputs] },
      scorerFor: () => scorer,
      stats: () => ({
        up: true,
        loadMs: 0,
        rows: 0,
        batches,
        waitingRows: 0,
        runningRows: 0,
        runMs: batches * batchMs,
        failures: 0,
        spread: undefined,
      }),
      close: async () => {
        await worker.terminate();
      },
    };
    return Promise.resolve(scoring);
  };
}

/** A real network, whose time and rows are real, and whose answers are the script's. */
export function realNetwork(bundleFolder: string, slmFolder: string): LoadNetwork {
  return async ({ precision }) => {
    const scoring = await openScoring({ bundleFolder, slmFolder, precision, device: 'cpu', threads: 1 });
    return {
      ...scoring,
      stats: () => scoring.stats(),
      scorerFor: (signals) => {
        const scorer = scoring.scorerFor(signals);
        return {
          topLogprobs: scorer.topLogprobs,
          hiddenStates: scorer.hiddenStates,
          score: async (rows, signal) => {
            await scorer.score(rows, signal);
            return scripted(rows);
          },
        };
      },
    };
  };
}
