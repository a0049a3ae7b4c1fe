import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { ModelError } from '../../src/model/errors.ts';
import { RowTableError, openRowTable } from '../../src/model/row-table.ts';
import { openWeights } from '../../src/model/safetensors.ts';
import { saveAgain, storedAs, tinyLlm, tinySlm } from './bundle-slm-folders.ts';

describe('row tables', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'r2r-rows-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  for (const [type, shards] of [
    ['BF16', 1],
    ['BF16', 3],
    ['F16', 2],
    ['F32', 3],
  ] as const) {
    it(`gathers any rows of a model in ${type} and ${shards} file(s), as its tensor has them`, async () => {
      await saveAgain(tinyLlm, folder, { type, shards });
      const weights = await openWeights(folder);
      for (const [which, tensor] of [
        ['embedding', 'model.embed_tokens.weight'],
        ['lm_head', 'lm_head.weight'],
      ] as const) {
        const all = await weights.read(tensor);
        const table = await openRowTable(folder, which);
        const { rows, width } = table;
        assert.deepEqual([table.tensor, table.type, rows, width], [tensor, type, 512, 128]);
        fc.assert(
          fc.property(fc.array(fc.nat(rows - 1), { maxLength: 40 }), fc.nat(3), (ids, before) => {
            const out = new Float32Array(before + ids.length * width + 5).fill(-7);
            table.gather(ids, out.subarray(before));
            const expected = new Float32Array(out.length).fill(-7);
            for (const [index, id] of ids.entries()) expected.set(all.subarray(id * width, (id + 1) * width), before + index * width);
            assert.deepEqual(out, expected);
          }),
          { numRuns: 50, seed: 4 },
        );
        assert.equal(await table.digest(), createHash('sha256').update(storedAs(type, all)).digest('hex'));
        await table.close();
      }
    });
  }

  it('takes the input embedding for the LM head where the two are tied', async () => {
    const [embedding, head] = await Promise.all([openRowTable(tinySlm, 'embedding'), openRowTable(tinySlm, 'lm_head')]);
    assert.equal(head.tensor, embedding.tensor);
    assert.equal(await head.digest(), await embedding.digest());
    await Promise.all([embedding.close(), head.close()]);
    // a config.json that does not say is taken by what the files hold
    await saveAgain(tinySlm, folder, { type: 'BF16', change: { tie_word_embeddings: undefined } });
    const silent = await openRowTable(folder, 'lm_head');
    assert.equal(silent.tensor, 'model.embed_tokens.weight');
    await silent.close();
  });

  it('opens an SLM whose decoder our engine does not know: SGLang serves it', async () => {
    const change = { architectures: ['Qwen2ForCausalLM'], rope_scaling: { type: 'yarn', factor: 4 } };
    await saveAgain(tinySlm, folder, { type: 'BF16', change });
    await (await openRowTable(folder, 'embedding')).close();
  });

  it('refuses ids that are no rows, and a too small target', async () => {
    const table = await openRowTable(tinySlm, 'embedding');
    const out = new Float32Array(2 * table.width);
    for (const id of [-1, table.rows, 1.5, Number.NaN]) {
      assert.throws(
        () => table.gather([0, id], out),
        (error) =>
          error instanceof RowTableError &&
          error.code === 'ROW_OUT_OF_RANGE' &&
          error.message.includes(`has 480 rows, asked was row ${id}`),
      );
    }
    assert.throws(() => table.gather([0, 1, 2], out), RangeError);
    await table.close();
    assert.throws(
      () => table.gather([0], out),
      (error) => error instanceof RowTableError && error.code === 'ROW_UNREADABLE',
    );
  });

  it('says so when the file is cut under it', async () => {
    await saveAgain(tinySlm, folder, { type: 'BF16' });
    const table = await openRowTable(folder, 'embedding');
    truncateSync(join(folder, 'model.safetensors'), 100);
    assert.throws(
      () => table.gather([479], new Float32Array(64)),
      (error) => error instanceof RowTableError && error.code === 'ROW_UNREADABLE' && /the file ends in row 479/.test(error.message),
    );
    await assert.rejects(table.digest(), /the file ends in model\.embed_tokens\.weight/);
    await table.close();
  });

  for (const [what, change, source, which, code, message] of [
    [
      'an LM head that is missing',
      { tie_word_embeddings: false },
      tinySlm,
      'lm_head',
      'MODEL_FILE_MISSING',
      /no tensor lm_head\.weight, and config\.json/,
    ],
    [
      'another vocabulary',
      { vocab_size: 481 },
      tinySlm,
      'embedding',
      'MODEL_FILE_INVALID',
      /shape \[480, 64\], config\.json says \[481, 64\]/,
    ],
    ['another width', { hidden_size: 32 }, tinyLlm, 'lm_head', 'MODEL_FILE_INVALID', /shape \[512, 128\], config\.json says \[512, 32\]/],
    ['an unknown type', { torch_dtype: 'int8' }, tinySlm, 'embedding', 'MODEL_UNSUPPORTED', /dtype int8/],
  ] as const) {
    it(`refuses ${what} by name`, async () => {
      await saveAgain(source, folder, { type: 'BF16', change });
      await assert.rejects(openRowTable(folder, which), (error) => {
        assert.ok(error instanceof ModelError);
        assert.equal(error.code, code);
        assert.match(error.message, message);
        return true;
      });
    });
  }
});
