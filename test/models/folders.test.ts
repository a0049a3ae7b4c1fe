import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { loadModelConfig } from '../../src/model/model-config.ts';
import { openWeights } from '../../src/model/safetensors.ts';
import { loadTokenizer } from '../../src/model/tokenizer-folder.ts';
import { figures, modelNames, modelsFolder, problems } from './published.ts';

const MAXIMUM_BYTES = 12 * 1000 * 1000;
const TEXTS = [
  'Start with 47. Add 85.',
  'Zürich, naïve café: 1234567890',
  '你好，世界 — 🎉👩‍🚀\n\n\tالعربية  ',
  '<<<>>> ~`\\"\u0000\u007f',
  "it's (x+y)**2 == x_1…",
];

async function bytesBelow(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const sizes = entries.filter((entry) => entry.isFile()).map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

describe('the tiny model folders', () => {
  it('take at most 12 MB together', async () => {
    assert.ok((await bytesBelow(modelsFolder)) <= MAXIMUM_BYTES);
  });

  it('share one tokenizer, byte for byte', async () => {
    for (const file of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json']) {
      const [first, ...others] = await Promise.all(modelNames.map((name) => readFile(join(modelsFolder, name, file))));
      assert.ok(first);
      for (const other of others) assert.ok(first.equals(other), `${file} differs`);
    }
  });

  for (const name of modelNames) {
    const folder = join(modelsFolder, name);

    it(`${name}: every token id lies below vocab_size, which fills a top 100`, async () => {
      const [tokenizer, config] = await Promise.all([loadTokenizer(folder), loadModelConfig(folder)]);
      assert.ok(config.vocabSize >= 128);
      assert.ok(tokenizer.length <= config.vocabSize, `${String(tokenizer.length)} tokens, vocab_size ${String(config.vocabSize)}`);
      assert.deepEqual(new Set(tokenizer.endIds), new Set(['<|im_end|>', '<|endoftext|>'].map((token) => tokenizer.tokenToId.get(token))));
    });

    it(`${name}: weights are bfloat16 of the configured shape, finite and trained`, async () => {
      const [weights, config] = await Promise.all([openWeights(folder), loadModelConfig(folder)]);
      assert.deepEqual(weights.tensors.get('model.embed_tokens.weight')?.shape, [config.vocabSize, config.hiddenSize]);
      assert.equal(weights.parameterCount, figures().models[name].parameters);
      for (const { type } of weights.tensors.values()) assert.equal(type, 'BF16');
      const norm = await weights.read('model.norm.weight');
      assert.ok(norm.every(Number.isFinite));
      assert.ok(norm.some((weight) => Math.abs(weight - 1) > 0.05));
    });
  }

  it('encode any UTF-8 text in canonical form and give it back unchanged', async () => {
    const tokenizer = await loadTokenizer(join(modelsFolder, 'slm'));
    for (const text of TEXTS.map((each) => each.normalize('NFC'))) assert.equal(tokenizer.decode(tokenizer.encode(text)), text);
  });

  it('encode each problem word by word, each digit its own token', async () => {
    const tokenizer = await loadTokenizer(join(modelsFolder, 'slm'));
    const parts = / ?[A-Za-z]+|[0-9]| ?[.?]| /g;
    for (const { question } of [...problems('held-out'), ...problems('train')]) {
      const ids = tokenizer.encode(question);
      assert.equal(tokenizer.decode(ids), question);
      assert.deepEqual(
        ids.map((id) => tokenizer.decode([id])),
        question.match(parts),
      );
    }
  });

  it('render a chat as Qwen3 does: thinking unless switched off, earlier reasoning left out', async () => {
    const tokenizer = await loadTokenizer(join(modelsFolder, 'llm'));
    const messages = [
      { role: 'system', content: 'S' },
      { role: 'user', content: 'Q1' },
      { role: 'assistant', content: '<think>\nbecause\n</think>\n\nA1' },
      { role: 'user', content: 'Q2 <think>' },
    ];
    const turn = (role: string, content: string) => `<|im_start|>${role}\n${content}<|im_end|>\n`;
    const chat = turn('system', 'S') + turn('user', 'Q1') + turn('assistant', 'A1') + turn('user', 'Q2 <think>');
    assert.equal(tokenizer.applyChatTemplate(messages), `${chat}<|im_start|>assistant\n`);
    assert.equal(
      tokenizer.applyChatTemplate(messages, { enable_thinking: false }),
      `${chat}<|im_start|>assistant\n<think>\n\n</think>\n\n`,
    );
    for (const tag of ['<think>', '</think>', '<|im_start|>', '<|im_end|>', '<|endoftext|>']) {
      assert.equal(tokenizer.encode(tag).length, 1, tag);
    }
  });
});
