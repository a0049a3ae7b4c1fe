import assert from 'node:assert/strict';
import { join } from 'node:path';
import { EngineClient } from '../../src/engine/engine-client.ts';
import { planGenerate } from '../../src/engine/generate-request.ts';
import { GenerationService } from '../../src/engine/generation.ts';
import { loadTokenizer } from '../../src/model/tokenizer-folder.ts';

const modelPath = join(import.meta.dirname, '../conformance/models/slm');

describe('a generation', () => {
  it('whose listener fails ends its sequences and is rejected, and the next one goes well', async () => {
    const tokenizer = await loadTokenizer(modelPath);
    const deaths: unknown[] = [];
    const client = await EngineClient.start(
      {
        modelPath,
        poolTokens: 512,
        maxRunning: 8,
        maxPrefillTokens: 512,
        chunkedPrefillSize: 512,
        threads: 1,
        dtype: 'float32',
        // slow enough that the abort comes long before the last token would
        emulation: { decode: 20, extend: 0, prefill: 0 },
      },
      (error) => deaths.push(error),
    );
    try {
      const service = new GenerationService(client, tokenizer);
      const limits = { vocabSize: client.facts.vocabSize, contextLength: 256, maxRequestLength: 255, hiddenStates: false };
      const run = (maxNewTokens: number, onReport: () => void) => {
        const sampling = { temperature: 0, max_new_tokens: maxNewTokens, ignore_eos: true };
        const body = { input_ids: [[5], [6]], stream: true, sampling_params: sampling };
        return service.run(planGenerate(body, tokenizer, limits).sequences, 0, new AbortController().signal, onReport);
      };
      let reports = 0;
      const failing = run(200, () => {
        reports++;
        throw new Error('cannot be shown');
      });
      await assert.rejects(failing, { message: 'cannot be shown' });
      const after = await run(3, () => undefined);
      assert.deepEqual(
        after.map(({ ids }) => ids.length),
        [3, 3],
      );
      assert.equal(reports, 1);
      assert.equal(client.live, 0, 'the failed sequences have ended');
    } finally {
      await client.close();
    }
    assert.deepEqual(deaths, []);
  });
});
