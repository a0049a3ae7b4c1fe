import assert from 'node:assert/strict';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { GraphBuilder } from '../../../src/model/graph-builder.ts';
import { roundToBfloat16, roundToFloat16 } from '../../../src/model/number-formats.ts';
import { elementType } from '../../../src/model/onnx-schema.ts';
import type { NetworkGraphOptions } from '../../../src/model/router-network/index.ts';
import { RunningNetwork, type Rows } from './golden.ts';
import { RandomNumbers } from './random-network.ts';

type LogitsType = NetworkGraphOptions['slm']['logitsType'];

const hiddenSize = 512;
const vocabulary = 200;
const logitsSize = 100;
const rowCount = 40;

const rounding = { bfloat16: roundToBfloat16, float16: roundToFloat16, float32: (values: Float32Array) => values };

/** Orders in which a kernel may add up products in float32. */
const summations: Readonly<Record<string, (left: Float32Array, right: Float32Array) => number>> = {
  'one after the other': (left, right) =>
    left.reduce((sum, value, index) => Math.fround(sum + Math.fround(value * (right[index] ?? 0))), 0),
  'backwards, products unrounded': (left, right) =>
    left.reduceRight((sum, value, index) => Math.fround(sum + value * (right[index] ?? 0)), 0),
  'in tiles of 32, then the tiles': (left, right) => {
    let sum = 0;
    for (let tile = 0; tile < left.length; tile += 32) {
      let part = 0;
      for (let index = tile; index < tile + 32; index++) part = Math.fround(part + (left[index] ?? 0) * (right[index] ?? 0));
      sum = Math.fround(sum + part);
    }
    return sum;
  },
};

/** What a server says of random rows whose logits it computed in this way. */
function serve(type: LogitsType, sum: (left: Float32Array, right: Float32Array) => number): { rows: Rows; logits: Float32Array } {
  const random = new RandomNumbers(3);
  const round = rounding[type];
  const head = round(random.values(vocabulary * hiddenSize, 0.25));
  const headRow = (id: number) => head.subarray(id * hiddenSize, (id + 1) * hiddenSize);
  const hidden = round(random.values(rowCount * hiddenSize, 2));
  const best = { logits: new Float32Array(rowCount * logitsSize), logprobs: new Float32Array(rowCount * logitsSize) };
  const lmHead = new Float32Array(rowCount * 5 * hiddenSize);
  for (let row = 0; row < rowCount; row++) {
    const state = hidden.subarray(row * hiddenSize, (row + 1) * hiddenSize);
    const all = round(Float32Array.from({ length: vocabulary }, (_, id) => sum(state, headRow(id))));
    const ids = [...all.keys()].sort((left, right) => (all[right] ?? 0) - (all[left] ?? 0)).slice(0, logitsSize);
    const highest = all[ids[0] ?? 0] ?? 0;
    const logSum = Math.fround(Math.log(all.reduce((total, logit) => total + Math.exp(logit - highest), 0)));
    for (const [rank, id] of ids.entries()) {
      const logit = all[id] ?? 0;
      best.logits[row * logitsSize + rank] = logit;
      best.logprobs[row * logitsSize + rank] = Math.fround(Math.fround(logit - highest) - logSum);
      if (rank < 5) lmHead.set(headRow(id), (row * 5 + rank) * hiddenSize);
    }
  }
  return {
    rows: {
      hidden: { shape: [rowCount, hiddenSize], values: hidden },
      logprobs: { shape: [rowCount, logitsSize], values: best.logprobs },
      lm_head: { shape: [rowCount, 5, hiddenSize], values: lmHead },
    },
    logits: best.logits,
  };
}

const everyRow = Array.from({ length: rowCount }, (_, row) => row);

/** Equal to the bit; but within a step of the log-probability, about 30, where the logit is so small that a 16-bit step is finer than that. */
function assertRecovered(recovered: Float32Array, logits: Float32Array): void {
  const isCoarse = (logit: number) => Math.abs(logit) >= 2 ** -6;
  assert.deepEqual(
    recovered.filter((_, index) => isCoarse(logits[index] ?? 0)),
    logits.filter(isCoarse),
  );
  for (const [index, logit] of logits.entries()) assert.ok(Math.abs((recovered[index] ?? Number.NaN) - logit) < 2 ** -18);
}

function recovery(logitsType: LogitsType): Promise<RunningNetwork> {
  return RunningNetwork.start(null, { precision: 'fp32', slm: { hiddenSize, embeddingSize: hiddenSize, logitsType } });
}

describe('recovery of raw logits from log-probabilities', () => {
  it('needs no file of weights', async () => {
    const network = await recovery('bfloat16');
    const { model, ...described } = network.graph;
    assert.ok(model.length > 0);
    assert.deepEqual(described, {
      inputs: ['hidden', 'logprobs', 'lm_head'],
      classes: 0,
      data: null,
      logitsSize,
      hiddenSize,
      embeddingSize: hiddenSize,
      parameters: 0,
      window: 1,
    });
    await network.close();
  });

  for (const [order, sum] of Object.entries(summations)) {
    for (const type of ['bfloat16', 'float16'] as const) {
      it(`meets ${type} logits to the bit when the server adds ${order}`, async () => {
        const network = await recovery(type);
        const { rows, logits } = serve(type, sum);
        const recovered = await network.run(rows, everyRow);
        assertRecovered(recovered.raw_logits, logits);
        assert.ok(recovered.spread.every((spread) => spread < 0.3));
        await network.close();
      });
    }

    it(`is within float32's rounding of float32 logits when the server adds ${order}`, async () => {
      const network = await recovery('float32');
      const { rows, logits } = serve('float32', sum);
      const recovered = await network.run(rows, everyRow);
      const worst = Math.max(...recovered.raw_logits.map((logit, index) => Math.abs(logit - (logits[index] ?? 0))));
      assert.ok(worst < 5e-5, String(worst));
      assert.ok(recovered.spread.every((spread) => spread < 1e-4));
      await network.close();
    });
  }

  it('is right although two of the five rows were rounded the other way, and shows it in the spread', async () => {
    const network = await recovery('bfloat16');
    const { rows, logits } = serve('bfloat16', (left, right) => left.reduce((sum, value, index) => sum + value * (right[index] ?? 0), 0));
    const lmHead = Float32Array.from(rows['lm_head']?.values ?? []);
    // the two rows of every five that this makes longer give candidates that are too large
    for (const index of lmHead.keys()) if (Math.floor(index / hiddenSize) % 5 < 2) lmHead[index] = (lmHead[index] ?? 0) * 1.01;
    const recovered = await network.run({ ...rows, lm_head: { shape: [rowCount, 5, hiddenSize], values: lmHead } }, everyRow);
    assertRecovered(recovered.raw_logits, logits);
    assert.ok(recovered.spread.every((spread) => spread > 0.06));
    await network.close();
  });

  it("has a large spread when the rows are another model's", async () => {
    const network = await recovery('bfloat16');
    const { rows } = serve('bfloat16', (left, right) => left.reduce((sum, value, index) => sum + value * (right[index] ?? 0), 0));
    const other = new RandomNumbers(99).rows([rowCount, 5, hiddenSize], 0.25);
    const { spread } = await network.run({ ...rows, lm_head: other }, everyRow);
    assert.ok(spread.every((value) => value > 0.3));
    await network.close();
  });
});

describe("the runtime's casts", () => {
  for (const type of ['bfloat16', 'float16'] as const) {
    it(`round to ${type} as a processor does: to the nearest, ties to even`, async () => {
      const graph = new GraphBuilder();
      const wide = graph.input('value', 'float32', ['N']);
      const narrow = graph.node('Cast', [wide], { to: elementType[type] });
      graph.output('rounded', graph.node('Cast', [narrow], { to: elementType.float32 }), 'float32', ['N']);
      const session = await InferenceSession.create(graph.encode('cast'));
      const values = castCases();
      const { rounded } = await session.run({ value: new Tensor('float32', values, [values.length]) });
      assert.deepEqual(rounded?.data, rounding[type](values.slice()));
      await session.release();
    });
  }
});

/** Every sign, exponent and 7-bit fraction, on the number and at, just below and just above the middle to the next; and the same for 10 bits. */
function castCases(): Float32Array {
  const bits: number[] = [];
  for (const fractionBits of [7, 10]) {
    const rest = 23 - fractionBits;
    const middle = 1 << (rest - 1);
    for (let exponent = 1; exponent < 255; exponent += fractionBits === 7 ? 1 : 3)
      for (let fraction = 0; fraction < 1 << fractionBits; fraction += fractionBits === 7 ? 1 : 5)
        for (const offset of [0, 1, middle - 1, middle, middle + 1])
          bits.push(
            ((exponent << 23) | (fraction << rest) | offset) >>> 0,
            ((1 << 31) | (exponent << 23) | (fraction << rest) | offset) >>> 0,
          );
  }
  return new Float32Array(Uint32Array.from(bits).buffer);
}
