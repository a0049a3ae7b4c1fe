import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadTokenizer } from '../../../src/model/tokenizer-folder.ts';
import { prepare, type PreparationFacts } from '../../../src/router/api/preparation.ts';
import { largeBodyBytes, Preparer } from '../../../src/router/api/preparer.ts';
import { ApiError } from '../../../src/router/errors.ts';
import { promptModel, type PromptModel } from '../../../src/router/prompt.ts';
import { vocabulary, writeModelFolder } from '../model-folder.ts';

describe('preparing requests', function () {
  this.timeout(60_000);
  let folder: string;
  let model: PromptModel;
  let preparer: Preparer;
  before(async () => {
    folder = await writeModelFolder(join(await mkdtemp(join(tmpdir(), 'r2r-prepare-')), 'slm'));
    model = promptModel(await loadTokenizer(folder));
    preparer = new Preparer(model, folder);
  });
  after(async () => {
    await preparer.close();
    await rm(join(folder, '..'), { recursive: true });
  });
  const facts: PreparationFacts = {
    modelName: 'pair',
    maxChoices: 8,
    contextLength: 8_000,
    validIds: vocabulary.length,
    randomSeed: 7,
    conversation: undefined,
  };
  const chat = (text: string, more: object = {}): Buffer =>
    Buffer.from(
      JSON.stringify({
        model: 'pair',
        messages: [
          { role: 'system', content: 's' },
          { role: 'user', content: text },
        ],
        ...more,
      }),
    );
  const long = 'Hello, größer 漢字 <think> {{ x }}\n'.repeat(60);

  it('gives the same in the other thread as here', async () => {
    for (const body of [
      chat(long),
      chat(long, { stop: ['a', 'b'], seed: 5, temperature: 1, chat_template_kwargs: { enable_thinking: true }, r2r: { tokens: true } }),
      chat(long, { prompt_cache_key: 'mine' }),
    ]) {
      assert.ok(body.length >= largeBodyBytes);
      assert.deepEqual(await preparer.prepare('chat', Buffer.from(body), facts), prepare('chat', body, model, facts));
    }
    const text = Buffer.from(JSON.stringify({ model: 'pair', prompt: [long, long] }));
    assert.deepEqual(await preparer.prepare('completions', Buffer.from(text), facts), prepare('completions', text, model, facts));
  });

  it('refuses the same in the same words', async () => {
    for (const body of [
      chat(long.repeat(40)),
      chat(long, { tools: [{}] }),
      chat(long, { model: 'other' }),
      Buffer.from(`{"a": "${long}`),
      Buffer.alloc(5_000, 255),
    ]) {
      let here: unknown;
      assert.throws(
        () => prepare('chat', body, model, facts),
        (error) => ((here = error), error instanceof ApiError),
      );
      await assert.rejects(preparer.prepare('chat', Buffer.from(body), facts), (error) => {
        assert.ok(error instanceof ApiError && here instanceof ApiError);
        assert.deepEqual([error.code, error.message, error.param], [here.code, here.message, here.param]);
        return true;
      });
    }
  });

  it('fails what is under way when the thread ends, and starts another for what comes next', async () => {
    const failing = assert.rejects(preparer.prepare('chat', chat(long), facts), /preparing a request failed/);
    await preparer.close();
    await failing;
    assert.equal((await preparer.prepare('chat', chat(long), facts)).prompts.length, 1);
  });
});
