import assert from 'node:assert/strict';
import type { Checkpoint } from '../../../src/model/checkpoint/checkpoint.ts';
import { networkProbability, type NetworkGraph } from '../../../src/model/router-network/index.ts';
import { networkClasses } from '../../../src/model/router-network/network-class.ts';
import { firstOfLastAxis, goldenNames, readGolden, RunningNetwork, type Rows, type Values } from './golden.ts';

const names = await goldenNames();

describe("router networks beside upstream's own classes", () => {
  it('cover every class', async () => {
    const covered = new Set<string>();
    for (const name of names) {
      const { checkpoint } = await readGolden(name);
      covered.add(checkpoint.modelType);
      await checkpoint.close();
    }
    assert.deepEqual([...covered].sort(), Object.keys(networkClasses).sort());
  });

  for (const name of names) {
    it(`${name}: the same probabilities and raw logits`, async () => {
      const { checkpoint, rows } = await readGolden(name);
      try {
        for (const precision of ['fp32', 'int8'] as const) await compare(checkpoint, rows, precision);
      } finally {
        await checkpoint.close();
      }
    });
  }
});

/** int8 is another network; how far it may be off is only bounded here, and measured on real rows when a bundle is made. */
const tolerances = { fp32: 1e-5, int8: 0.05 } as const;

async function compare(checkpoint: Checkpoint, rows: Rows, precision: 'fp32' | 'int8'): Promise<void> {
  const slm = {
    hiddenSize: rows['hidden']?.shape.at(-1) ?? 0,
    embeddingSize: rows['embedding']?.shape.at(-1) ?? 0,
    logitsType: 'bfloat16',
  } as const;
  const expected = rows['probability']?.values ?? new Float32Array();
  const network = await RunningNetwork.start(checkpoint, { precision, slm });
  try {
    const { graph } = network;
    const { scores, raw_logits: logits } = await network.run(rows, [...expected.keys()]);
    for (const [row, probability] of expected.entries()) {
      const difference = Math.abs(networkProbability(scores, row, graph.classes) - probability);
      assert.ok(difference <= tolerances[precision], `${precision}, row ${row}: ${difference}`);
      const alone = await network.run(rows, [row]);
      assert.deepEqual(alone.scores, scores.subarray(row * graph.classes, (row + 1) * graph.classes));
    }
    if (graph.inputs.includes('logprobs') && rows['logits'])
      assert.deepEqual(logits, lastOfWindow(firstOfLastAxis(rows['logits'], graph.logitsSize), graph));
  } finally {
    await network.close();
  }
}

function lastOfWindow({ values }: Values, { logitsSize, window }: NetworkGraph): Float32Array {
  return values.filter((_, index) => Math.floor(index / logitsSize) % window === window - 1);
}
