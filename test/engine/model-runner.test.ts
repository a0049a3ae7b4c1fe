import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { argmax } from '../../src/engine/logits.ts';
import { createModelRunner, type ModelRunner } from '../../src/engine/model-runner.ts';
import { loadModelConfig, type ComputeType } from '../../src/model/model-config.ts';
import { openWeights } from '../../src/model/safetensors.ts';

const fixtures = join(import.meta.dirname, 'fixtures');

interface Expected {
  readonly hidden: readonly number[];
  readonly logits: readonly number[];
  readonly greedy: readonly number[];
}
const expected = JSON.parse(readFileSync(join(fixtures, 'expected.json'), 'utf8')) as { readonly prompt: readonly number[] } & Record<
  'qwen2' | 'qwen3' | 'llama',
  Expected
>;
const prompt = Int32Array.from(expected.prompt);

async function load(folder: string, computeType?: ComputeType): Promise<ModelRunner> {
  const config = await loadModelConfig(folder);
  return createModelRunner({ ...config, ...(computeType && { computeType }) }, await openWeights(folder), { poolTokens: 1024, threads: 1 });
}

/** Runs the tokens in passes of the given lengths, in pool slots that lie in no order; returns logits of every row, and all hidden rows. */
async function run(runner: ModelRunner, ids: Int32Array, passes: readonly number[]) {
  const slots = Int32Array.from(ids, (_, index) => (index * 389 + 17) % 1024);
  const logits: Float32Array[] = [];
  const hidden: number[] = [];
  let start = 0;
  for (const length of passes) {
    const part = await runner.forward({
      ids: ids.subarray(start, start + length),
      pastSlots: slots.subarray(0, start),
      newSlots: slots.subarray(start, start + length),
      firstLogitsRow: 0,
      onLogits: (_row, row) => logits.push(new Float32Array(row)),
    });
    hidden.push(...part);
    start += length;
  }
  return { logits, hidden };
}

function furthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Math.max(...Array.from(a, (value, index) => Math.abs(value - (b[index] ?? NaN))));
}

describe('model runner', function () {
  this.timeout(30_000);

  for (const name of ['qwen2', 'qwen3', 'llama'] as const) {
    it(`computes what transformers computes for a ${name} model`, async () => {
      const runner = await load(join(fixtures, name), 'float32');
      const { logits, hidden } = await run(runner, prompt, [prompt.length]);
      const { hidden: lastHidden, logits: lastLogits, greedy } = expected[name];
      assert.ok(furthest(lastHidden, hidden.slice(-runner.hiddenSize)) < 2e-4, 'hidden state');
      assert.ok(furthest(lastLogits, logits.at(-1)!) < 5e-4, 'logits');
      assert.deepEqual(logits.map(argmax), greedy);
    });
  }

  it('computes the same in one pass, token by token, and in pieces', async () => {
    const runner = await load(join(fixtures, 'qwen3'));
    const whole = await run(runner, prompt, [prompt.length]);
    for (const passes of [prompt.map(() => 1), [7, 1, 20, 12]]) {
      const parts = await run(runner, prompt, [...passes]);
      assert.ok(furthest(whole.hidden, parts.hidden) < 1e-4);
      assert.ok(furthest(whole.logits.at(-1)!, parts.logits.at(-1)!) < 1e-4);
    }
  });

  it('splits long prompts without changing them', async () => {
    const runner = await load(join(fixtures, 'qwen3'));
    const long = Int32Array.from({ length: 600 }, (_, index) => (index * 31 + 7) % 96);
    const whole = await run(runner, long, [600]);
    const parts = await run(runner, long, [100, 500]);
    assert.equal(whole.logits.length, 600);
    assert.ok(furthest(whole.hidden, parts.hidden) < 1e-3);
  });

  it('emits bfloat16 values for a bfloat16 model', async () => {
    const { hidden, logits } = await run(await load(join(fixtures, 'qwen2')), prompt, [prompt.length]);
    for (const value of [...hidden, ...logits.flatMap((row) => [...row])]) {
      const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
      assert.equal(bits & 0xffff, 0);
    }
  });

  it('names the tensor whose shape config.json contradicts', async () => {
    const folder = join(fixtures, 'qwen2');
    const config = await loadModelConfig(folder);
    const weights = await openWeights(folder);
    await assert.rejects(
      createModelRunner({ ...config, intermediateSize: 64 }, weights, { poolTokens: 64, threads: 1 }),
      /tensor model\.layers\.0\.mlp\.gate_proj\.weight has shape \[48, 32\], config\.json says \[64, 32\]/,
    );
  });
});
