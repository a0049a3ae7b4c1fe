import assert from 'node:assert/strict';
import type { CheckpointArguments, CheckpointTensor } from '../../../src/model/checkpoint/checkpoint.ts';
import { buildNetworkGraph, networkProbability, NetworkError } from '../../../src/model/router-network/index.ts';
import { networkClasses } from '../../../src/model/router-network/network-class.ts';
import { parseNetworkConfig } from '../../../src/model/router-network/network-config.ts';
import { readGolden } from './golden.ts';
import { RandomNumbers, randomNetwork } from './random-network.ts';

const slm = { hiddenSize: 8, embeddingSize: 8, logitsType: 'bfloat16' } as const;
const size = { hiddenSize: 8, embeddingSize: 8, logitsSize: 10, hiddenDims: [8, 4], expansionFactor: 2 };
const network = randomNetwork(size, new RandomNumbers(1));

function refused(code: string, message: RegExp, field?: string): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof NetworkError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    if (field !== undefined) assert.equal(error.field, field);
    return true;
  };
}

describe("a network's class and arguments", () => {
  it('finds every class by its name and in lower case', () => {
    const sizes = { hidden_states_size: 12, logits_size: 12 };
    for (const name of Object.keys(networkClasses)) {
      const given = Object.fromEntries(
        Object.entries(sizes).filter(([size]) => size in networkClasses[name as keyof typeof networkClasses].defaults),
      );
      assert.equal(parseNetworkConfig(name, given).name, name);
      assert.equal(parseNetworkConfig(name.toLowerCase(), given).name, name);
    }
  });

  it("fills in upstream's defaults", () => {
    const config = parseNetworkConfig('HiddenStatesTokenLMHeadLogitsClassifier', {});
    const { kind, ...values } = config;
    assert.deepEqual(kind.features, ['hidden', 'embedding', 'logits']);
    assert.deepEqual(values, {
      name: 'HiddenStatesTokenLMHeadLogitsClassifier',
      hiddenSize: 1536,
      logitsSize: 100,
      hiddenDims: [256, 512, 256],
      expansionFactor: 4,
      normalizeInput: false,
      positions: 0,
      window: 1,
      classes: 1,
      endsInSoftmax: false,
      topK: null,
    });
    assert.equal(parseNetworkConfig('MultiHiddenStatesClassifier', { neural_window_size: 2 }).hiddenSize, 512);
    assert.equal(parseNetworkConfig('MultiClassLogitsClassifier', { logits_size: 9 }).classes, 3);
  });

  it('passes over arguments that change nothing, the dtype of a shipped configuration among them', () => {
    const args = { dtype: 'bfloat16', pretrained_model_name: 'org/model', freeze_lm_head: true, dropout_rate: 0.1, topk: null };
    assert.equal(parseNetworkConfig('HiddenStatesTokenLMHeadClassifier', args).hiddenSize, 1536);
  });

  const bad: readonly [string, string, CheckpointArguments, RegExp, string][] = [
    ['an argument that no class has', 'LogitsClassifier', { logits_size: 9, gate: 'silu' }, /gate is not an argument/, 'gate'],
    ['a missing size', 'LogitsClassifier', {}, /logits_size is missing/, 'logits_size'],
    ['a size that is none', 'LogitsClassifier', { logits_size: 2.5 }, /logits_size is 2.5, not a whole number/, 'logits_size'],
    ['no widths', 'LogitsClassifier', { logits_size: 9, hidden_dims: [] }, /hidden_dims is \[\], not a list of widths/, 'hidden_dims'],
    [
      'a flag that is none',
      'LogitsClassifier',
      { logits_size: 9, normalize_input: 1 },
      /normalize_input is 1, not true or false/,
      'normalize_input',
    ],
    ['two outputs', 'LogitsClassifier', { logits_size: 9, output_dim: 2 }, /output_dim is 2; a router reads/, 'output_dim'],
    ['a softmax of one', 'MultiClassLogitsClassifier', { logits_size: 9, num_classes: 1 }, /num_classes is 1/, 'num_classes'],
    ['rows that share unevenly', 'MultiLogitsClassifier', { logits_size: 10 }, /logits_size is 10, which 3 rows/, 'logits_size'],
    [
      'a norm that upstream itself cannot compute',
      'MultiHiddenStatesClassifier',
      { hidden_states_size: 12, normalize_input: true },
      /norms rows of 4 values by weights for 12/,
      'normalize_input',
    ],
  ];
  for (const [name, modelType, args, message, field] of bad)
    it(`refuses ${name}`, () => {
      assert.throws(() => parseNetworkConfig(modelType, args), refused('NETWORK_ARGUMENT_INVALID', message, field));
    });

  it('refuses a class that upstream does not have', () => {
    assert.throws(() => parseNetworkConfig('Transformer', {}), refused('NETWORK_CLASS_UNKNOWN', /Transformer.*LogitsClassifier/));
  });
});

describe("a network's tensors", () => {
  const build = (tensors: ReadonlyMap<string, CheckpointTensor>, other: Partial<typeof slm> = {}) =>
    buildNetworkGraph({ ...network, tensors }, { precision: 'fp32', slm: { ...slm, ...other } });
  const changed = (change: (tensors: Map<string, CheckpointTensor>) => void) => {
    const tensors = new Map(network.tensors);
    change(tensors);
    return tensors;
  };
  const zeros = (...shape: number[]): CheckpointTensor => ({
    shape,
    type: 'float32',
    read: () => Promise.resolve(new Float32Array(shape.reduce((all, axis) => all * axis, 1))),
  });

  it('are counted, without a copy of the embedding', async () => {
    const count = [...network.tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((all, axis) => all * axis, 1), 0);
    assert.equal((await build(network.tensors)).parameters, count);
    const own = await build(changed((tensors) => tensors.set('token_embeddings.weight', zeros(20, 8))));
    assert.equal(own.parameters, count);
    assert.equal(own.embeddingSize, 8);
  });

  it('must all be there', async () => {
    const tensors = changed((all) => all.delete('backbone.blocks.1.mlp.3.weight'));
    const message = /tensor backbone\.blocks\.1\.mlp\.3\.weight is missing; it should be \[4, 8\]/;
    await assert.rejects(build(tensors), refused('NETWORK_TENSOR_MISSING', message, 'backbone.blocks.1.mlp.3.weight'));
  });

  it('must have the shapes that the arguments say', async () => {
    const tensors = changed((all) => all.set('combined_projection.weight', zeros(8, 23)));
    const message = /combined_projection\.weight is \[8, 23\] and should be \[8, 24\]/;
    await assert.rejects(build(tensors), refused('NETWORK_TENSOR_SHAPE', message, 'combined_projection.weight'));
  });

  it('must be those of the class and no others', async () => {
    const tensors = changed((all) => all.set('layer_norm_token.weight', zeros(8)));
    await assert.rejects(build(tensors), refused('NETWORK_TENSOR_UNEXPECTED', /layer_norm_token\.weight is not one of this class/));
  });

  it('must leave as many outputs of an LM head as are looked at', async () => {
    const { checkpoint } = await readGolden('lm-head-top');
    try {
      const options = { precision: 'fp32', slm: { hiddenSize: 24, embeddingSize: 24, logitsType: 'bfloat16' } } as const;
      const more = { ...checkpoint, initArgs: { ...checkpoint.initArgs, topk: 49 } };
      const tensors = new Map(checkpoint.tensors).set('post_lm_projection.weight', zeros(16, 49));
      const outputs = refused('NETWORK_TENSOR_SHAPE', /48 outputs, of which topk cannot be 49/, 'lm_head.weight');
      await assert.rejects(buildNetworkGraph({ ...more, tensors }, options), outputs);
    } finally {
      await checkpoint.close();
    }
  });

  it("must be for the SLM's sizes", async () => {
    const hidden = build(network.tensors, { hiddenSize: 16 as 8 });
    await assert.rejects(hidden, refused('NETWORK_SLM_MISMATCH', /takes hidden states of 8 values, and the SLM's have 16/));
    const embedding = build(network.tensors, { embeddingSize: 6 as 8 });
    await assert.rejects(embedding, refused('NETWORK_TENSOR_SHAPE', /should be \[8, 22\]/));
  });
});

describe('the probability of a row', () => {
  it('is the sigmoid of one score, or the last of a softmax over three', () => {
    assert.equal(networkProbability(Float32Array.of(0, 2), 1, 1), 1 / (1 + Math.exp(-2)));
    assert.equal(networkProbability(Float32Array.of(9, 9, 9, 1, 2, 3), 1, 3), 1 / (Math.exp(-2) + Math.exp(-1) + 1));
    assert.equal(networkProbability(Float32Array.of(-1000), 0, 1), 0);
    assert.equal(networkProbability(Float32Array.of(1000, 0, -1000), 0, 3), 0);
    assert.equal(networkProbability(Float32Array.of(-1000, 0, 1000), 0, 3), 1);
  });

  it('is no number where a score is none', () => {
    assert.equal(networkProbability(Float32Array.of(Number.NaN), 0, 1), Number.NaN);
    assert.equal(networkProbability(Float32Array.of(0, Number.NaN, 1), 0, 3), Number.NaN);
    assert.equal(networkProbability(Float32Array.of(0), 1, 1), Number.NaN);
  });
});
