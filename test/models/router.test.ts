import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readCheckpoint } from '../../src/model/checkpoint/read-checkpoint.ts';
import { figures, modelsFolder } from './published.ts';

const checkpointPath = join(modelsFolder, 'router', 'router.pt');
const maximumBytes = 1_000_000;

describe('the router network of the tiny pair', () => {
  it('is a small checkpoint of the class and widths that the figures state', async () => {
    assert.ok((await stat(checkpointPath)).size < maximumBytes);
    const { router, models } = figures();
    const checkpoint = await readCheckpoint(checkpointPath);
    try {
      assert.equal(checkpoint.modelType, router.class);
      assert.equal(checkpoint.initArgs['hidden_states_size'], models.slm.hidden);
      assert.deepEqual(checkpoint.initArgs['hidden_dims'], router.widths.layers);
      assert.ok(Math.abs(Number(checkpoint.commonArgs['threshold']) - router.threshold) < 1e-4);
      const sizes = [...checkpoint.tensors.values()].map(({ shape }) => shape.reduce((product, size) => product * size, 1));
      assert.equal(
        sizes.reduce((sum, size) => sum + size, 0),
        router.parameters,
      );
    } finally {
      await checkpoint.close();
    }
  });

  it('finds 90 % of the divergent tokens of held-out problems, on texts of the LLM and on routed ones', () => {
    const { heldOutWritten, heldOutRouted } = figures().router.found;
    assert.ok(Math.min(heldOutWritten.recall, heldOutRouted.recall) >= 0.9);
  });

  it('solves 97 % of the held-out problems with at most 8 % of the tokens from the LLM, where entropy needs a tenth or more', () => {
    const { router, entropyRouting } = figures();
    assert.ok(router.routing.some(({ accuracy, llmShare }) => accuracy >= 0.97 && llmShare <= 0.08));
    for (const { accuracy, llmShare } of entropyRouting) assert.ok(accuracy < 0.97 || llmShare >= 0.1);
  });

  it('is the one its card describes', () => {
    const card = readFileSync(join(modelsFolder, 'router', 'README.md'), 'utf8');
    const { routing, threshold, parameters } = figures().router;
    assert.ok(card.includes(`| **${threshold}** |`));
    assert.ok(card.includes(parameters.toLocaleString('en')));
    for (const { accuracy, llmShare } of routing) {
      assert.ok(card.includes(`${(100 * accuracy).toFixed(1)} % | ${(100 * llmShare).toFixed(1)} %`));
    }
  });
});
