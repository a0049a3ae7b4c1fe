import { join } from 'node:path';
import { BundleError } from './bundle-errors.ts';
import { bundleManifestFile, type Precision } from './bundle-manifest.ts';
import { checkBundleFitsTables, openBundleEmbedding, openSlmTables, type Bundle } from './bundle.ts';
import { NetworkRunner, type CalibrationRow, type NetworkScores } from './network-runner.ts';

/** A network of a bundle, with the tables of the SLM that it was made for. */
export interface BundleNetwork {
  run(rows: readonly CalibrationRow[]): Promise<NetworkScores>;
  close(): Promise<void>;
}

/** @throws BundleError, ModelError; whatever ONNX Runtime says of the graph */
export async function openBundleNetwork(
  bundle: Bundle,
  slmFolder: string,
  precision: Precision,
  signal?: AbortSignal,
): Promise<BundleNetwork> {
  const { folder, manifest } = bundle;
  const graph = manifest.graphs[precision];
  if (!graph || manifest.classes === 0) {
    const problem = manifest.classes === 0 ? 'network: there is none' : `graphs: there is no ${precision}`;
    throw new BundleError('BUNDLE_INVALID', join(folder, bundleManifestFile), problem, 'import a checkpoint again in both precisions');
  }
  const slm = await openSlmTables(slmFolder);
  const open = new Set([slm.embedding, slm.lmHead]);
  const closeTables = async (): Promise<void> => {
    await Promise.all([...open].map((table) => table.close()));
  };
  try {
    await checkBundleFitsTables(bundle, slm, slmFolder, signal);
    const embedding = await openBundleEmbedding(bundle, slmFolder);
    open.add(embedding);
    const { inputs, classes, hiddenSize, logitsSize } = manifest;
    const network = { model: join(folder, graph.model.name), inputs, classes, hiddenSize, logitsSize };
    const runner = await NetworkRunner.open(network, { embedding, lmHead: slm.lmHead });
    return {
      run: (rows) => runner.run(rows),
      close: async () => {
        await runner.close();
        await closeTables();
      },
    };
  } catch (error) {
    await closeTables();
    throw error;
  }
}
