import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadModelConfig } from '../../src/model/model-config.ts';
import { loadTokenizer } from '../../src/model/tokenizer-folder.ts';
import { figures, modelNames, modelsFolder } from './published.ts';

describe('the figures of the tiny models', () => {
  it('leave room between a small model that is mostly wrong and a large one that is nearly always right', () => {
    const { accuracy, problems } = figures();
    assert.equal(problems, 200);
    assert.ok(accuracy.slm <= 0.6, `SLM ${String(accuracy.slm)}`);
    assert.ok(accuracy.llm >= 0.9, `LLM ${String(accuracy.llm)}`);
  });

  it('show all three kinds of difference between the two texts', () => {
    for (const [kind, count] of Object.entries(figures().differences)) assert.ok(count >= 100, `${kind}: ${String(count)}`);
  });

  it('put entropy routing well above the straight line between the two models at every threshold', () => {
    const rows = figures().entropyRouting;
    assert.ok(rows.length >= 5);
    for (const { threshold, aboveLine } of rows) assert.ok(aboveLine > 0.1, `threshold ${String(threshold)}: ${String(aboveLine)}`);
  });

  it('show a verifier that agrees with the truth on 95 % of held-out pairs of either kind', () => {
    const { heldOutPairs } = figures().verifier;
    assert.ok(heldOutPairs.pairs >= 500);
    assert.ok(Math.min(heldOutPairs.neutralAgreement, heldOutPairs.divergentAgreement) >= 0.95);
  });

  it('describe the folders that are published', async () => {
    const { models, tokenizer } = figures();
    for (const name of modelNames) {
      const config = await loadModelConfig(join(modelsFolder, name));
      assert.equal(models[name].vocabulary, config.vocabSize);
      assert.equal(models[name].hidden, config.hiddenSize);
      assert.equal(models[name].layers, config.layerCount);
    }
    assert.equal((await loadTokenizer(join(modelsFolder, 'slm'))).length, tokenizer.entries);
  });

  it('are the ones the model card states', () => {
    const card = readFileSync(join(modelsFolder, 'README.md'), 'utf8');
    const { accuracy, verifier } = figures();
    for (const share of [accuracy.slm, accuracy.llm, verifier.heldOutPairs.agreement]) {
      assert.ok(card.includes(`**${(100 * share).toFixed(1)} %**`), String(share));
    }
  });
});
