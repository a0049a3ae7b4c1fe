import type { BundleNetwork } from '../../model/bundle-network.ts';
import type { Progress } from '../progress.ts';
import { featureRows, type FeatureRow, type FeatureShape } from './feature-rows.ts';
import type { ScoredRows } from './measuring.ts';
import type { TestRows } from './test-rows.ts';

/** Rows that the networks see at a time. */
const batchRows = 256;

export interface Scoring<Name extends string> {
  /** By network, on the same rows. */
  readonly scored: Readonly<Record<Name, ScoredRows>>;
  /** Probabilities of the rows that were asked for, by network's name and row's key. */
  readonly probes: ReadonlyMap<string, Readonly<Record<Name, number>>>;
  /** The largest disagreement of a row about the constant of its logits; 0 where no network takes logits. */
  readonly maxSpread: number;
}

/**
 * Runs several networks over the test rows, which are read once.
 *
 * @param probed keys of rows of which single probabilities are wanted
 * @throws what reading and ONNX Runtime throw; the signal's reason
 */
export async function scoreNetworks<Name extends string>(
  rows: TestRows,
  shape: FeatureShape,
  networks: Readonly<Record<Name, BundleNetwork>>,
  probed: ReadonlySet<string>,
  { progress, signal }: { readonly progress: Progress; readonly signal: AbortSignal },
): Promise<Scoring<Name>> {
  const names = Object.keys(networks) as Name[];
  const positive = new Uint8Array(rows.count);
  const all = new Map(names.map((name) => [name, new Float64Array(rows.count)]));
  const probes = new Map<string, Record<Name, number>>();
  let maxSpread = 0;
  let first = 0;
  for await (const batch of batches(featureRows(rows, shape))) {
    signal.throwIfAborted();
    const results = await Promise.all(names.map((name) => networks[name].run(batch)));
    for (const [index, name] of names.entries()) {
      const { probabilities, spreads } = results[index] ?? { probabilities: [], spreads: undefined };
      all.get(name)?.set(probabilities, first);
      maxSpread = spreads?.reduce((most, value) => Math.max(most, value), maxSpread) ?? maxSpread;
    }
    for (const [at, { divergent, key }] of batch.entries()) {
      positive[first + at] = divergent ? 1 : 0;
      if (probed.has(key))
        probes.set(key, Object.fromEntries(names.map((name) => [name, all.get(name)?.[first + at] ?? 0])) as Record<Name, number>);
    }
    first += batch.length;
    progress.advance(batch.length);
  }
  const scored = Object.fromEntries(names.map((name) => [name, { probabilities: all.get(name) ?? new Float64Array(), positive }]));
  return { scored: scored as Record<Name, ScoredRows>, probes, maxSpread };
}

async function* batches(rows: AsyncIterable<FeatureRow>): AsyncGenerator<readonly FeatureRow[]> {
  let batch: FeatureRow[] = [];
  for await (const row of rows) {
    batch.push(row);
    if (batch.length < batchRows) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
