import type { Precision } from '../../model/bundle-manifest.ts';
import { openBundleNetwork, type BundleNetwork } from '../../model/bundle-network.ts';
import { comparisonThreshold, type Bundle } from '../../model/bundle.ts';
import { PipelineError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Progress } from '../progress.ts';
import { checkAccuracy, type Accuracy } from './accuracy.ts';
import type { CurrentBundle } from './current-bundle.ts';
import { failingAs } from './failures.ts';
import { rowKey, shapeOf } from './feature-rows.ts';
import { chooseThreshold, measure, type Figures, type ScoredRows } from './measuring.ts';
import { scoreNetworks } from './scored-networks.ts';
import type { TestRows } from './test-rows.ts';
import type { Trained, TrainingSettings } from './trained.ts';

export interface Measured {
  /** On the test rows: of fp32 and int8 at the bundle's threshold, and PyTorch's at the checkpoint's. */
  readonly figures: { readonly fp32?: Figures; readonly int8?: Figures; readonly trainer?: Figures };
  readonly accuracy?: Accuracy | undefined;
  /** The threshold that int8 needs to reach the recall that was trained for, where the checkpoint's is not enough. */
  readonly threshold?: number | undefined;
  readonly current?: FiguresOfCurrent | undefined;
}

type FiguresOfCurrent = Figures & { readonly digest: string; readonly minRecall: number };

interface MeasuringContext {
  readonly slmFolder: string;
  readonly trained: Trained | undefined;
  readonly current: CurrentBundle | undefined;
  readonly log: Log;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

type Networks = Readonly<Record<Precision | 'current', BundleNetwork>>;

/**
 * Measures a bundle in both precisions, and the bundle in use on the same rows, which are read once.
 *
 * @throws PipelineError `PIPELINE_ACCURACY` when fp32 is not what was trained; what reading the rows throws
 */
export async function measureBundle(bundle: Bundle, rows: TestRows, context: MeasuringContext): Promise<Measured> {
  const { trained, current, log } = context;
  const check = trained?.check;
  if (trained && !check) log.info({ step: 'bundle' }, 'the trainer left no check.json: fp32 is not compared with PyTorch');
  const networks = await openNetworks(bundle, context);
  try {
    const shape = shapeOf([bundle.manifest, ...(current ? [current.bundle.manifest] : [])]);
    const probed = new Set(check?.rows.map(({ dataId, tokenId }) => rowKey(dataId, tokenId)));
    const { scored, probes, maxSpread } = await scoreNetworks(rows, shape, networks, probed, context);
    for (const [name, { probabilities }] of Object.entries(scored)) assertNumbers(name, probabilities);
    const accuracy = check && checkAccuracy(check, (key) => probes.get(key)?.fp32, maxSpread);
    if (accuracy) log.info({ ...accuracy }, 'fp32 compared with PyTorch');
    const threshold = trained && thresholdFor(scored.int8, bundle, trained.result.identity);
    const at = threshold ?? bundle.manifest.threshold;
    const figures = {
      ...(at !== null && { fp32: measure(scored.fp32, at), int8: measure(scored.int8, at) }),
      ...(trained && { trainer: trainerFigures(trained) }),
    };
    return { figures, accuracy, threshold, current: current && figuresOfCurrent(scored.current, current) };
  } finally {
    await Promise.all(Object.values(networks).map((network) => network.close()));
  }
}

async function openNetworks(bundle: Bundle, { slmFolder, current, signal }: MeasuringContext): Promise<Networks> {
  const opened: Partial<Record<Precision | 'current', BundleNetwork>> = {};
  try {
    for (const precision of ['fp32', 'int8'] as const)
      opened[precision] = await failingAs('PIPELINE_CHECKPOINT', {}, () => openBundleNetwork(bundle, slmFolder, precision, signal));
    if (current) {
      const precision = current.bundle.manifest.graphs.int8 ? 'int8' : 'fp32';
      const field = '--compare';
      opened.current = await failingAs('PIPELINE_COMPARE', { field }, () =>
        openBundleNetwork(current.bundle, slmFolder, precision, signal),
      );
    }
    return opened as Networks;
  } catch (error) {
    await Promise.all(Object.values(opened).map((network) => network.close()));
    throw error;
  }
}

/**
 * A checkpoint's threshold is the highest that reaches the recall that was asked for, by PyTorch's probabilities. Those of int8, which routers run,
 * differ a little, and may miss it by a row or two.
 */
function thresholdFor(int8: ScoredRows, { manifest }: Bundle, { objective, min_recall, grid }: TrainingSettings): number | undefined {
  if (objective !== 'recall' || manifest.threshold === null) return undefined;
  if (measure(int8, manifest.threshold).recall >= min_recall) return undefined;
  return chooseThreshold(int8, min_recall, grid);
}

function trainerFigures({ result: { threshold, test } }: Trained): Figures {
  return { threshold, recall: test.recall, positiveRate: test.positiveRate };
}

function figuresOfCurrent(scored: ScoredRows, { bundle, minRecall }: CurrentBundle): FiguresOfCurrent {
  const threshold = chooseThreshold(scored, minRecall) ?? bundle.manifest.threshold ?? comparisonThreshold;
  return { digest: bundle.digest, minRecall, ...measure(scored, threshold) };
}

function assertNumbers(network: string, probabilities: Float64Array): void {
  const row = probabilities.findIndex(Number.isNaN);
  if (row < 0) return;
  const problem = `the network ${network} gives test row ${row} a probability that is no number`;
  throw new PipelineError('PIPELINE_ACCURACY', problem, 'train again; if it stays, report it with the checkpoint', {
    field: `networks.${network}`,
  });
}
