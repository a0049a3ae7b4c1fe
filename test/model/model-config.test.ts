import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ModelError } from '../../src/model/errors.ts';
import { loadModelConfig } from '../../src/model/model-config.ts';

const slm = join(import.meta.dirname, '../conformance/models/slm');
const fixtures = join(import.meta.dirname, '../engine/fixtures');

describe('model config', () => {
  let folder: string;
  let base: Record<string, unknown>;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'r2r-config-'));
    base = JSON.parse(await readFile(join(slm, 'config.json'), 'utf8')) as Record<string, unknown>;
  });
  after(() => rm(folder, { recursive: true }));
  const load = async (change: Readonly<Record<string, unknown>>) => {
    await writeFile(join(folder, 'config.json'), JSON.stringify({ ...base, ...change }));
    return loadModelConfig(folder);
  };

  it('reads a Qwen2, a Qwen3 and a Llama model', async () => {
    const qwen2 = await loadModelConfig(slm);
    assert.deepEqual(
      [qwen2.architecture, qwen2.headSize, qwen2.keyValueHeadCount, qwen2.tiedEmbeddings, qwen2.computeType, qwen2.ropeTheta],
      ['Qwen2ForCausalLM', 16, 2, true, 'bfloat16', 10_000],
    );
    const qwen3 = await loadModelConfig(join(fixtures, 'qwen3'));
    assert.deepEqual([qwen3.queryKeyNorm, qwen3.headSize, qwen3.computeType], [true, 16, 'float32']);
    const llama = await loadModelConfig(join(fixtures, 'llama'));
    assert.deepEqual(llama.ropeScaling, { factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalMaxPositions: 32 });
    assert.equal(llama.ropeTheta, 500_000);
  });

  it('takes a sliding window that is switched off for none', async () => {
    assert.equal((await load({ sliding_window: 4096, use_sliding_window: false, layer_types: null })).architecture, 'Qwen2ForCausalLM');
  });

  for (const [change, message] of [
    [{ architectures: ['GPT2LMHeadModel'] }, /architecture GPT2LMHeadModel is not supported; use one of Qwen2ForCausalLM/],
    [{ hidden_act: 'gelu' }, /hidden_act gelu/],
    [{ quantization_config: { bits: 4 } }, /quantised weights/],
    [{ sliding_window: 1024, layer_types: ['full_attention', 'sliding_attention'] }, /sliding-window attention/],
    [{ rope_scaling: { type: 'yarn', factor: 4 } }, /rope_scaling of type yarn/],
    [{ rope_scaling: { rope_type: 'llama3', factor: 4 } }, /rope_scaling of type llama3/],
    [{ num_key_value_heads: 3 }, /no multiple of num_key_value_heads/],
    [{ dtype: 'float8_e4m3fn' }, /dtype float8_e4m3fn/],
  ] as const) {
    it(`refuses ${JSON.stringify(change)}`, async () => {
      await assert.rejects(load(change), (error) => {
        assert.ok(error instanceof ModelError);
        assert.equal(error.code, 'MODEL_UNSUPPORTED');
        assert.match(error.message, message);
        return true;
      });
    });
  }

  it('names the field that is missing or of the wrong type', async () => {
    await assert.rejects(load({ hidden_size: undefined }), /config\.json: hidden_size: /);
    await assert.rejects(load({ vocab_size: 'many' }), { code: 'MODEL_FILE_INVALID' });
  });
});
