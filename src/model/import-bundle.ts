import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleFormatVersion, type BundleManifest, type Precision } from './bundle-manifest.ts';
import { comparisonThreshold, openSlmTables, slmDigests, type BundleFile, type SlmTables } from './bundle.ts';
import { BundleWriter, type WrittenBundle } from './bundle-writer.ts';
import type { Checkpoint, CheckpointArguments } from './checkpoint/checkpoint.ts';
import { readCheckpoint } from './checkpoint/read-checkpoint.ts';
import { assertNetworkFits, checkpointMetrics, checkpointThreshold } from './import-bundle-checkpoint.ts';
import type { CalibrationRow, NetworkAnswers, PrecisionComparison } from './import-bundle-comparison.ts';
import { writeOwnEmbedding } from './import-bundle-embedding.ts';
import { buildNetworkGraph, type NetworkGraph } from './router-network/index.ts';
import { FileRowTable } from './row-table.ts';
import { loadSlmConfig, type SlmConfig } from './slm-config.ts';

/** What an import is doing now. */
export type ImportStep =
  | { readonly step: 'checkpoint' | 'slm' | 'embedding' | 'calibration' | 'manifest' }
  | { readonly step: 'network' | 'comparison'; readonly precision: Precision };

export interface ImportOptions {
  /** Upstream's `.pt` file; null: a bundle that only recovers raw logits, for strategies without a network. */
  readonly checkpointPath: string | null;
  /** The SLM's Hugging Face folder. */
  readonly slmFolder: string;
  /** The bundle's folder, which must not exist, be empty, or hold the very same bundle. */
  readonly outFolder: string;
  /** Without a network only fp32 is made, because there is nothing to quantise. */
  readonly precisions: readonly Precision[];
  /**
   * Real rows of this SLM to compare precisions on, each with so many log-probabilities. Asked for once, and only where there is something to
   * compare. Absent, or no rows: no comparison.
   */
  readonly calibration?: ((logprobs: number) => Iterable<CalibrationRow> | AsyncIterable<CalibrationRow>) | undefined;
  /** Replaces init arguments of the checkpoint, as upstream's `override_init_args` does. */
  readonly overrideInitArgs?: CheckpointArguments;
  /** In place of the checkpoint's own. */
  readonly threshold?: number;
  /** What the SLM's server rounds logits to. @default the type in the SLM's config.json */
  readonly logitsType?: SlmConfig['logitsType'];
  /** Where the checkpoint came from, for the manifest; it must not name a place of this machine, or the bundle's digest would depend on it. */
  readonly source: string;
  readonly progress?: (step: ImportStep) => void;
}

export interface ImportedBundle extends WrittenBundle {
  readonly manifest: BundleManifest;
}

/**
 * Turns a checkpoint into a router bundle for one SLM. The same inputs give the same bytes; a killed import leaves nothing that counts. Needs
 * memory for the network once in fp32, and for an embedding of the checkpoint's own.
 *
 * @throws CheckpointError, NetworkError, ModelError, BundleError, each with a code and the fix; the signal's reason
 */
export async function importCheckpoint(options: ImportOptions, signal?: AbortSignal): Promise<ImportedBundle> {
  const slm = await loadSlmConfig(options.slmFolder);
  options.progress?.({ step: 'checkpoint' });
  const checkpoint = options.checkpointPath === null ? null : await readCheckpoint(options.checkpointPath);
  try {
    const overridden = checkpoint && { ...checkpoint, initArgs: { ...checkpoint.initArgs, ...options.overrideInitArgs } };
    const network = overridden && assertNetworkFits(overridden, slm, options.slmFolder);
    const threshold = overridden && (options.threshold ?? checkpointThreshold(overridden));
    const tables = await openSlmTables(options.slmFolder);
    try {
      const writer = await BundleWriter.create(options.outFolder);
      try {
        return await new Import({ options, slm, checkpoint: overridden, network, threshold, tables, writer, signal }).run();
      } catch (error) {
        await writer.discard();
        throw error;
      }
    } finally {
      await tables.close();
    }
  } finally {
    await checkpoint?.close();
  }
}

interface ImportParts {
  readonly options: ImportOptions;
  readonly slm: SlmConfig;
  readonly checkpoint: Checkpoint | null;
  readonly network: string | null;
  readonly threshold: number | null;
  readonly tables: SlmTables;
  readonly writer: BundleWriter;
  readonly signal: AbortSignal | undefined;
}

/** What is left of a network once it is written. */
type WrittenGraph = Omit<NetworkGraph, 'model' | 'data'> & { readonly model: BundleFile; readonly data?: BundleFile };

class Import {
  readonly #parts: ImportParts;

  constructor(parts: ImportParts) {
    this.#parts = parts;
  }

  async run(): Promise<ImportedBundle> {
    const { options, slm, checkpoint, network, threshold, tables, writer, signal } = this.#parts;
    options.progress?.({ step: 'slm' });
    const digests = await slmDigests(tables, signal);

    const precisions = this.#precisions();
    const written = new Map<Precision, WrittenGraph>();
    for (const precision of precisions.made) written.set(precision, await this.#writeGraph(precision));
    const graph = [...written.values()][0];
    if (!graph) throw new RangeError('no precision was asked for');
    const ownEmbedding = checkpoint && graph.inputs.includes('embedding') ? await this.#writeEmbedding(checkpoint) : undefined;
    const compared = await this.#compare(written, ownEmbedding);
    for (const precision of precisions.made.filter((each) => !precisions.kept.includes(each))) await this.#drop(written, precision);

    const manifest: BundleManifest = {
      formatVersion: bundleFormatVersion,
      network,
      inputs: [...graph.inputs],
      classes: graph.classes,
      hiddenSize: graph.hiddenSize,
      embeddingSize: graph.embeddingSize,
      logitsSize: graph.logitsSize,
      parameters: graph.parameters,
      threshold,
      logitsType: options.logitsType ?? slm.logitsType,
      slm: {
        name: slm.hubName === undefined ? slm.modelType : `${slm.modelType} (${slm.hubName})`,
        vocabSize: slm.vocabSize,
        embeddingDigest: digests.embedding,
        lmHeadDigest: digests.lmHead,
      },
      graphs: Object.fromEntries(
        precisions.kept.map((precision) => {
          const { model, data } = written.get(precision) ?? graph;
          const comparison = compared.comparisons.get(precision);
          return [precision, { model, ...(data && { data }), ...(comparison && { comparison }) }];
        }),
      ),
      ...(ownEmbedding && { ownEmbedding }),
      metrics: { ...(checkpoint && checkpointMetrics(checkpoint)), ...compared.metrics },
      provenance: { checkpointDigest: checkpoint?.digest ?? null, source: options.source },
    };
    options.progress?.({ step: 'manifest' });
    signal?.throwIfAborted();
    return { ...(await writer.commit(manifest)), manifest };
  }

  /** Precisions that the bundle keeps, and those that are made: int8 is compared with fp32 even when only int8 is wanted. */
  #precisions(): { readonly kept: readonly Precision[]; readonly made: readonly Precision[] } {
    const { options, checkpoint } = this.#parts;
    if (!checkpoint) return { kept: ['fp32'], made: ['fp32'] };
    const kept = (['fp32', 'int8'] as const).filter((precision) => options.precisions.includes(precision));
    const alone = kept.length === 1 && kept[0] === 'int8' && options.calibration !== undefined;
    return { kept, made: alone ? ['fp32', 'int8'] : kept };
  }

  async #writeGraph(precision: Precision): Promise<WrittenGraph> {
    const { options, slm, checkpoint, tables, writer, signal } = this.#parts;
    options.progress?.({ step: 'network', precision });
    signal?.throwIfAborted();
    const { model, data, ...shape } = await buildNetworkGraph(checkpoint, {
      precision,
      slm: { hiddenSize: slm.hiddenSize, embeddingSize: tables.embedding.width, logitsType: options.logitsType ?? slm.logitsType },
    });
    const bytes = data?.chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0) ?? 0;
    return {
      ...shape,
      ...(data && { data: await writer.add(data.name, bytes, data.chunks, signal) }),
      model: await writer.add(`router-${precision}.onnx`, model.byteLength, [model], signal),
    };
  }

  #writeEmbedding(checkpoint: Checkpoint): Promise<BundleFile | undefined> {
    const { options, tables, writer, signal } = this.#parts;
    options.progress?.({ step: 'embedding' });
    return writeOwnEmbedding(checkpoint, tables.embedding, writer, signal);
  }

  async #drop(written: Map<Precision, WrittenGraph>, precision: Precision): Promise<void> {
    const { writer } = this.#parts;
    const graph = written.get(precision);
    for (const file of [graph?.model, graph?.data]) if (file) await rm(join(writer.scratch, file.name));
    written.delete(precision);
  }

  /** Runs fp32 and then every other precision on the calibration rows. */
  async #compare(
    written: ReadonlyMap<Precision, WrittenGraph>,
    ownEmbedding: BundleFile | undefined,
  ): Promise<{
    readonly comparisons: ReadonlyMap<Precision, PrecisionComparison>;
    readonly metrics: Record<string, number>;
  }> {
    const { options, threshold, tables, writer, signal } = this.#parts;
    const exact = written.get('fp32');
    const comparisons = new Map<Precision, PrecisionComparison>();
    if (!exact || written.size < 2 || options.calibration === undefined) return { comparisons, metrics: {} };
    options.progress?.({ step: 'calibration' });
    // loads the runtime only now: many imports run nothing
    const { compareProbabilities, readCalibration, runNetwork } = await import('./import-bundle-comparison.ts');
    const rows = await readCalibration(options.calibration(exact.logitsSize), exact, options.slmFolder, signal);
    if (rows.length === 0) return { comparisons, metrics: {} };
    const embedding = ownEmbedding && (await this.#openEmbedding(ownEmbedding, exact.embeddingSize));
    try {
      const run = (precision: Precision, graph: WrittenGraph): Promise<NetworkAnswers> => {
        options.progress?.({ step: 'comparison', precision });
        const network = { ...graph, model: join(writer.scratch, graph.model.name) };
        return runNetwork(network, rows, { embedding: embedding ?? tables.embedding, lmHead: tables.lmHead }, signal);
      };
      const reference = await run('fp32', exact);
      const at = threshold ?? comparisonThreshold;
      for (const [precision, graph] of written)
        if (precision !== 'fp32')
          comparisons.set(precision, compareProbabilities(reference.probabilities, (await run(precision, graph)).probabilities, at));
      const divergent = reference.probabilities.filter((probability) => probability >= at).length;
      const metrics = {
        calibrationDivergentShare: divergent / rows.length,
        ...(reference.maxSpread !== null && { calibrationMaxLogitSpread: reference.maxSpread }),
      };
      return { comparisons, metrics };
    } finally {
      await embedding?.close();
    }
  }

  #openEmbedding({ name }: BundleFile, width: number): Promise<FileRowTable> {
    const { slm, writer } = this.#parts;
    return FileRowTable.open({ name, type: 'F32', file: join(writer.scratch, name), offset: 0, rows: slm.vocabSize, width });
  }
}
