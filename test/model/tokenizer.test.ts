import assert from 'node:assert/strict';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { ModelError } from '../../src/model/errors.ts';
import { loadTokenizer } from '../../src/model/tokenizer-folder.ts';
import type { Tokenizer } from '../../src/model/tokenizer.ts';

const slm = join(import.meta.dirname, '../conformance/models/slm');

function streamed(tokenizer: Tokenizer, ids: readonly number[], keepSpecialTokens = false): string {
  const stream = tokenizer.stream({ keepSpecialTokens });
  return ids.map((id) => stream.push(id)).join('') + stream.flush();
}

describe('tokenizer', () => {
  let tokenizer: Tokenizer;
  before(async () => {
    tokenizer = await loadTokenizer(slm);
  });

  it('knows its size, special tokens and end tokens', () => {
    assert.equal(tokenizer.length, 464);
    assert.equal(tokenizer.tokenToId.size, 464);
    assert.deepEqual(tokenizer.specialIds, [461, 462, 463]);
    assert.deepEqual(tokenizer.endIds, [463, 461]);
    assert.equal(tokenizer.tokenToId.get('<|im_end|>'), 463);
  });

  it('gives back every text it encodes, whole and streamed', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 60 }).map((text) => text.toWellFormed()),
        (text) => {
          const ids = tokenizer.encode(text);
          assert.equal(tokenizer.decode(ids), text);
          assert.equal(streamed(tokenizer, ids), text);
        },
      ),
      { seed: 1 },
    );
  });

  it('streams any ids to the text that decoding them at once gives', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(470), { maxLength: 40 }), fc.boolean(), (ids, keepSpecialTokens) => {
        assert.equal(streamed(tokenizer, ids, keepSpecialTokens), tokenizer.decode(ids, { keepSpecialTokens }));
      }),
      { seed: 2 },
    );
  });

  it('holds back the bytes of an unfinished character', () => {
    const stream = tokenizer.stream();
    const pieces = tokenizer.encode('é😀').map((id) => stream.push(id));
    assert.equal(pieces.join(''), 'é😀');
    assert.ok(pieces.every((piece) => !piece.includes('\uFFFD')));
    assert.ok(pieces.includes(''), 'a multi-byte character spans several tokens in this vocabulary');
  });

  it('recognises special tokens in text and leaves them out of decoded text unless asked', () => {
    const ids = tokenizer.encode('<|im_start|>hi<|im_end|>');
    assert.equal(ids[0], 462);
    assert.equal(ids.at(-1), 463);
    assert.equal(tokenizer.decode(ids), 'hi');
    assert.equal(tokenizer.decode(ids, { keepSpecialTokens: true }), '<|im_start|>hi<|im_end|>');
  });

  it('renders the chat template with a generation prompt', () => {
    assert.equal(
      tokenizer.applyChatTemplate([{ role: 'user', content: 'hello world' }]),
      '<|im_start|>user\nhello world<|im_end|>\n<|im_start|>assistant\n',
    );
  });

  it('names the folder that is missing', async () => {
    await assert.rejects(loadTokenizer('/no/such/model'), (error) => {
      assert.ok(error instanceof ModelError);
      assert.equal(error.code, 'MODEL_FOLDER_MISSING');
      assert.match(error.message, /^\/no\/such\/model: no such model folder; set the model path/);
      return true;
    });
  });

  describe('of a damaged folder', () => {
    let folder: string;
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'r2r-tokenizer-'));
      await cp(slm, folder, { recursive: true });
    });
    afterEach(() => rm(folder, { recursive: true }));

    it('names the file that is missing', async () => {
      await rm(join(folder, 'tokenizer.json'));
      await assert.rejects(loadTokenizer(folder), { code: 'MODEL_FILE_MISSING', path: join(folder, 'tokenizer.json') });
    });

    it('names the file that is not JSON', async () => {
      await writeFile(join(folder, 'tokenizer.json'), '{"model":');
      await assert.rejects(loadTokenizer(folder), { code: 'MODEL_FILE_INVALID', path: join(folder, 'tokenizer.json') });
    });

    it('names the field of the wrong type', async () => {
      await writeFile(join(folder, 'tokenizer.json'), '{"model": 3}');
      await assert.rejects(loadTokenizer(folder), /tokenizer\.json: model: /);
    });

    it('prefers chat_template.jinja, and says when there is no template', async () => {
      await writeFile(join(folder, 'chat_template.jinja'), '{{ messages[0].content }}{{ suffix }}');
      assert.equal((await loadTokenizer(folder)).applyChatTemplate([{ role: 'user', content: 'a' }], { suffix: '!' }), 'a!');
      await rm(join(folder, 'chat_template.jinja'));
      await writeFile(join(folder, 'tokenizer_config.json'), '{"eos_token": {"content": "<|im_end|>"}}');
      const plain = await loadTokenizer(folder);
      assert.throws(() => plain.applyChatTemplate([]), /has no chat template/);
    });

    it('takes end tokens from generation_config.json, config.json and the eos token', async () => {
      await rm(join(folder, 'generation_config.json'));
      assert.deepEqual((await loadTokenizer(folder)).endIds, [463]);
      await rm(join(folder, 'config.json'));
      assert.deepEqual((await loadTokenizer(folder)).endIds, [463]);
    });
  });
});
