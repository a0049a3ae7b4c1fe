import assert from 'node:assert/strict';
import { chooseFiles } from '../../../src/model/download/index.ts';
import { FetchError } from '../../../src/model/fetch/index.ts';

const basis = ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'merges.txt', 'vocab.json'];
const choose = (...more: readonly string[]): readonly string[] => chooseFiles([...basis, ...more], 'hf://org/repo@main');
const weights = (...more: readonly string[]): readonly string[] => choose(...more).filter((path) => !basis.includes(path));

describe('the files of a repository that are downloaded', () => {
  it('are configuration, tokenizer, template and safetensors, and nothing that is code, a picture or a pickle', () => {
    const others = [
      'README.md',
      '.gitattributes',
      'LICENSE',
      'modeling_x.py',
      'figure.png',
      'optimizer.pt',
      'training_args.bin',
      'model.onnx',
    ];
    assert.deepEqual(
      choose('model.safetensors', 'chat_template.jinja', 'special_tokens_map.json', ...others),
      [...basis, 'chat_template.jinja', 'model.safetensors', 'special_tokens_map.json'].sort(),
    );
  });

  it('are the shards with their index, once, where the same weights are there several times', () => {
    const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
    const index = 'model.safetensors.index.json';
    const twice = [
      'consolidated.safetensors',
      'pytorch_model-00001-of-00002.bin',
      'pytorch_model.bin.index.json',
      'model.fp16.safetensors',
    ];
    assert.deepEqual(weights(...shards, index, ...twice), [...shards, index]);
    assert.deepEqual(weights('model.safetensors', 'model.fp16.safetensors', 'pytorch_model.bin'), ['model.safetensors']);
  });

  it('are of the top folder alone', () => {
    assert.deepEqual(weights('model.safetensors', 'original/consolidated.00.pth', 'onnx/model.onnx', 'text_encoder/model.safetensors'), [
      'model.safetensors',
    ]);
  });

  it('are other safetensors where there are none of the usual name, but no adapters', () => {
    assert.deepEqual(weights('weights-a.safetensors', 'weights-b.safetensors'), ['weights-a.safetensors', 'weights-b.safetensors']);
  });

  const refusals: readonly (readonly [string, readonly string[], RegExp])[] = [
    [
      'pickles only',
      [...basis, 'pytorch_model.bin'],
      /pickles \(\.bin\) only, and whoever loads one runs what is in it; name a revision with safetensors/,
    ],
    ['nothing that it knows', [...basis, 'model.gguf'], /has no safetensors; name a repository of a whole model/],
    ['an adapter', ['adapter_config.json', 'adapter_model.safetensors', 'tokenizer.json'], /has no safetensors/],
    [
      'no tokenizer.json',
      ['config.json', 'tokenizer.model', 'model.safetensors'],
      /has no tokenizer\.json; name a repository with a fast tokenizer/,
    ],
    ['no configuration', ['tokenizer.json', 'model.safetensors'], /has no config\.json/],
    [
      'shards missing',
      [...basis, 'model-00001-of-00003.safetensors', 'model-00003-of-00003.safetensors', 'model.safetensors.index.json'],
      /has 2 of 3 shards/,
    ],
    ['files whose names lead elsewhere', [...basis, '../model.safetensors', '/model.safetensors', '.hidden.safetensors'], /no safetensors/],
  ];
  for (const [what, paths, message] of refusals)
    it(`are none where the repository has ${what}`, () => {
      assert.throws(
        () => chooseFiles(paths, 'hf://org/repo@main'),
        (error) => error instanceof FetchError && error.code === 'FETCH_UNSUPPORTED' && !error.retryable && message.test(error.message),
      );
    });
});
