import { open, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { readCheckpoint } from '../../../src/model/checkpoint/read-checkpoint.ts';
import type { Checkpoint } from '../../../src/model/checkpoint/checkpoint.ts';
import { buildNetworkGraph, type NetworkGraph, type NetworkGraphOptions } from '../../../src/model/router-network/index.ts';
import { openWeights } from '../../../src/model/safetensors.ts';

const folder = join(import.meta.dirname, 'golden');

/** Values of some rows, by name; the first axis is the row's. */
export type Rows = Readonly<Record<string, Values>>;

export interface Values {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** What trainer/golden/router_networks.py left: a checkpoint as upstream saves it, rows, and what upstream's class makes of them. */
export interface GoldenCase {
  readonly name: string;
  readonly checkpoint: Checkpoint;
  readonly rows: Rows;
}

export async function goldenNames(): Promise<string[]> {
  return (await readdir(folder)).sort();
}

export async function readGolden(name: string): Promise<GoldenCase> {
  const weights = await openWeights(join(folder, name));
  const rows: Record<string, Values> = {};
  for (const [key, { shape }] of weights.tensors) rows[key] = { shape, values: await weights.read(key) };
  return { name, checkpoint: await readCheckpoint(join(folder, name, 'router.pt')), rows };
}

/** A graph in ONNX Runtime, on one thread. */
export class RunningNetwork {
  readonly graph: NetworkGraph;
  readonly #session: InferenceSession;

  private constructor(graph: NetworkGraph, session: InferenceSession) {
    this.graph = graph;
    this.#session = session;
  }

  static async start(checkpoint: Parameters<typeof buildNetworkGraph>[0], options: NetworkGraphOptions): Promise<RunningNetwork> {
    const graph = await buildNetworkGraph(checkpoint, options);
    const files = await mkdtemp(join(tmpdir(), 'r2r-network-'));
    try {
      await writeFile(join(files, 'router.onnx'), graph.model);
      if (graph.data) await writeChunks(join(files, graph.data.name), graph.data.chunks);
      const session = await InferenceSession.create(join(files, 'router.onnx'), {
        intraOpNumThreads: 1,
        interOpNumThreads: 1,
        logSeverityLevel: 3,
        extra: { session: { intra_op: { allow_spinning: '0' } } },
      });
      return new RunningNetwork(graph, session);
    } finally {
      await rm(files, { recursive: true });
    }
  }

  /** Runs the rows at these positions, as one batch. */
  async run(rows: Rows, positions: readonly number[]): Promise<Record<'scores' | 'raw_logits' | 'spread', Float32Array>> {
    const feeds = Object.fromEntries(
      this.graph.inputs.map((input) => {
        const { shape, values } = this.#trimmed(input, rows);
        const size = shape.slice(1).reduce((product, axis) => product * axis, 1);
        const picked = new Float32Array(size * positions.length);
        for (const [index, position] of positions.entries())
          picked.set(values.subarray(position * size, (position + 1) * size), index * size);
        return [input, new Tensor('float32', picked, [positions.length, ...shape.slice(1)])];
      }),
    );
    const outputs = await this.#session.run(feeds);
    const floats = (name: string) => {
      const data = outputs[name]?.data;
      return data instanceof Float32Array ? data : new Float32Array();
    };
    return { scores: floats('scores'), raw_logits: floats('raw_logits'), spread: floats('spread') };
  }

  /** The rows' log-probabilities cut to as many as the graph takes; everything else as it is. */
  #trimmed(input: string, rows: Rows): Values {
    const row = rows[input];
    if (!row) throw new RangeError(`no values for input ${input}`);
    return input === 'logprobs' ? firstOfLastAxis(row, this.graph.logitsSize) : row;
  }

  close(): Promise<void> {
    return this.#session.release();
  }
}

/** The first `count` values of each run along the last axis. */
export function firstOfLastAxis({ shape, values }: Values, count: number): Values {
  const size = shape.at(-1) ?? 0;
  return { shape: [...shape.slice(0, -1), count], values: values.filter((_, index) => index % size < count) };
}

async function writeChunks(path: string, chunks: readonly Uint8Array[]): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (const chunk of chunks) await file.writeFile(chunk);
  } finally {
    await file.close();
  }
}
