/** Times the router network of a bundle; prints the times as JSON. A process of its own, started as the router is. Arguments: bundle folder, SLM folder. */
import { openScoring, type ScorableRow } from '../../src/router/scoring/index.ts';
import { hiddenSize } from './rows.ts';

export interface NetworkTime {
  readonly precision: 'int8' | 'fp32';
  readonly batch: number;
  /** Of the run in the network's thread, gathering its inputs included. */
  readonly p50Ms: number;
  readonly minMs: number;
}

function rows(count: number): ScorableRow[] {
  return Array.from({ length: count }, (_, row) => ({
    id: 10 + row,
    hidden: Float32Array.from({ length: hiddenSize }, (_, index) => Math.sin(row * 7 + index)),
    top: {
      ids: Int32Array.from({ length: 100 }, (_, index) => index + row),
      logprobs: Float64Array.from({ length: 100 }, (_, index) => -0.5 - index / 9),
    },
  }));
}

/** The router network on one core, by batch. */
async function measure(bundleFolder: string, slmFolder: string): Promise<readonly NetworkTime[]> {
  const times: NetworkTime[] = [];
  for (const precision of ['int8', 'fp32'] as const) {
    const runs: number[] = [];
    const scoring = await openScoring({
      bundleFolder,
      slmFolder,
      precision,
      device: 'cpu',
      threads: 1,
      observer: { batch: ({ runMs }) => void runs.push(runMs), failure: () => undefined },
    });
    const scorer = scoring.scorerFor(['probability']);
    const { signal } = new AbortController();
    for (const batch of [1, 2, 4, 8, 16, 32, 64]) {
      const given = rows(batch);
      for (let warm = 0; warm < 10; warm++) await scorer.score(given, signal);
      runs.length = 0;
      const repeats = batch <= 8 ? 120 : 50;
      for (let run = 0; run < repeats; run++) await scorer.score(given, signal);
      const sorted = [...runs].sort((a, b) => a - b);
      times.push({ precision, batch, p50Ms: sorted[Math.floor(sorted.length / 2)] ?? Number.NaN, minMs: sorted[0] ?? Number.NaN });
    }
    await scoring.close();
  }
  return times;
}

const [bundleFolder = '', slmFolder = ''] = process.argv.slice(2);
console.log(JSON.stringify(await measure(bundleFolder, slmFolder)));
