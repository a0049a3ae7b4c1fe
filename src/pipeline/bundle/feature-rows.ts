import type { BundleManifest } from '../../model/bundle-manifest.ts';
import { recoveryRows } from '../../model/bundle-manifest.ts';
import type { CalibrationRow } from '../../model/network-runner.ts';
import { PipelineError } from '../errors.ts';
import { ParquetFile } from '../parquet/parquet-file.ts';
import type { TestFile, TestRows } from './test-rows.ts';

/** A test row with all that networks look at. */
export interface FeatureRow extends CalibrationRow {
  readonly divergent: boolean;
  /** By which the trainer names it. */
  readonly key: string;
}

/** What is read of each row: the most that any of the networks takes. */
export interface FeatureShape {
  readonly hiddenSize: number;
  readonly logitsSize: number;
  readonly inputs: readonly BundleManifest['inputs'][number][];
}

type Cells = Readonly<Record<string, unknown>>;

/** What all of these networks look at, which are of one SLM. */
export function shapeOf(manifests: readonly FeatureShape[]): FeatureShape {
  return {
    hiddenSize: manifests[0]?.hiddenSize ?? 0,
    logitsSize: Math.max(0, ...manifests.map(({ logitsSize }) => logitsSize)),
    inputs: [...new Set(manifests.flatMap(({ inputs }) => inputs))],
  };
}

export function rowKey(dataId: string | number, tokenId: number): string {
  return `${dataId}/${tokenId}`;
}

/**
 * Test rows in the order of the files, one row group in memory at a time. Their raw logits stand for log-probabilities, from which they differ by
 * a constant that the graph recovers.
 *
 * @param every only each so many-th of them. @throws PipelineError `PIPELINE_COLUMN`, `PIPELINE_PARQUET`
 */
export async function* featureRows({ files, prefix }: TestRows, shape: FeatureShape, every = 1): AsyncGenerator<FeatureRow> {
  let seen = 0;
  for (const { path, rows: chosen } of files) {
    const wanted = Uint8Array.from(chosen, (row) => (row !== 0 && seen++ % every === 0 ? row : 0));
    if (wanted.some((row) => row !== 0)) yield* rowsOfFile({ path, rows: wanted }, prefix, shape);
  }
}

async function* rowsOfFile({ path, rows: wanted }: TestFile, prefix: string, shape: FeatureShape): AsyncGenerator<FeatureRow> {
  const takesLogits = shape.inputs.includes('logprobs') || shape.inputs.includes('lm_head');
  const names = {
    token: `${prefix}token`,
    hidden: `${prefix}last_hidden_states`,
    logits: `${prefix}logits`,
    indices: `${prefix}indices`,
  };
  const file = await ParquetFile.open(path);
  try {
    const columns = ['data_id', 'token_id', names.token, names.hidden, ...(takesLogits ? [names.logits, names.indices] : [])];
    const missing = columns.find((name) => !file.columns.includes(name));
    if (missing !== undefined) throw wrong(path, missing, `it is missing; there are ${file.columns.join(', ')}`);
    const isWanted = (from: number, to: number): boolean => wanted.subarray(from, to).some((row) => row !== 0);
    for await (const { firstRow, rows } of file.groupsWhere(isWanted, columns))
      for (const [index, cells] of rows.entries()) {
        const row = wanted[firstRow + index] ?? 0;
        if (row === 0) continue;
        yield {
          divergent: row === 2,
          key: rowKey(String(cells['data_id']), Number(cells['token_id'])),
          id: Number(cells[names.token]),
          hidden: Float32Array.from(numbers(cells, names.hidden, shape.hiddenSize, path, shape.hiddenSize)),
          topIds: takesLogits ? numbers(cells, names.indices, recoveryRows, path) : [],
          logprobs: takesLogits ? numbers(cells, names.logits, shape.logitsSize, path) : [],
        };
      }
  } finally {
    await file.close();
  }
}

function numbers(cells: Cells, column: string, least: number, path: string, most = Infinity): number[] {
  const value = cells[column];
  const list = Array.isArray(value) || ArrayBuffer.isView(value) ? Array.from(value as ArrayLike<number | bigint>, Number) : [];
  if (list.length < least || list.length > most) throw wrong(path, column, `a row has ${list.length} values, the network takes ${least}`);
  const odd = list.find((each) => !Number.isFinite(each));
  if (odd !== undefined) throw wrong(path, column, `it holds ${odd}`);
  return list;
}

function wrong(file: string, field: string, problem: string): PipelineError {
  return new PipelineError('PIPELINE_COLUMN', `column ${field}: ${problem}`, 'construct the label set again', { file, field });
}
