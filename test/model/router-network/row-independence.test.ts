import assert from 'node:assert/strict';
import fc from 'fast-check';
import { RunningNetwork } from './golden.ts';
import { RandomNumbers, randomNetwork, type NetworkSize } from './random-network.ts';

const rowCount = 64;

const sizes: Readonly<Record<string, NetworkSize>> = {
  'usual widths': { hiddenSize: 256, embeddingSize: 256, logitsSize: 100, hiddenDims: [256, 512, 256], expansionFactor: 4 },
  'widths that fill no vector': { hiddenSize: 101, embeddingSize: 77, logitsSize: 37, hiddenDims: [50, 36, 17], expansionFactor: 3 },
};

describe('a row in a batch', () => {
  for (const [name, size] of Object.entries(sizes)) {
    for (const precision of ['fp32', 'int8'] as const) {
      it(`has the scores it has alone, to the bit: ${precision}, ${name}`, async () => {
        const random = new RandomNumbers(7);
        const { hiddenSize, embeddingSize, logitsSize } = size;
        const slm = { hiddenSize, embeddingSize, logitsType: 'bfloat16' } as const;
        const rows = {
          hidden: random.rows([rowCount, hiddenSize], 2),
          embedding: random.rows([rowCount, embeddingSize], 0.02),
          logprobs: random.rows([rowCount, logitsSize], 5),
          lm_head: random.rows([rowCount, 5, hiddenSize], 0.05),
        };
        // neighbours of very different size must not matter
        for (const index of rows.hidden.values.keys())
          rows.hidden.values[index] = (rows.hidden.values[index] ?? 0) * 10 ** ((Math.floor(index / hiddenSize) % 5) - 2);
        const network = await RunningNetwork.start(randomNetwork(size, random), { precision, slm });
        const alone: Awaited<ReturnType<RunningNetwork['run']>>[] = [];
        for (let row = 0; row < rowCount; row++) alone.push(await network.run(rows, [row]));
        assert.equal(new Set(alone.map(({ scores }) => scores[0])).size, rowCount);

        const batches = fc.array(fc.nat({ max: rowCount - 1 }), { minLength: 1, maxLength: 64, size: 'max' });
        const property = fc.asyncProperty(batches, async (batch) => {
          const together = await network.run(rows, batch);
          for (const output of ['scores', 'raw_logits', 'spread'] as const) {
            const expected = batch.flatMap((row) => [...(alone[row]?.[output] ?? [])]);
            assert.deepEqual(together[output], Float32Array.from(expected));
          }
        });
        await fc.assert(property, { numRuns: 50, seed: 4 });
        await network.close();
      });
    }
  }
});
