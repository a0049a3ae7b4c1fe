import assert from 'node:assert/strict';
import { join } from 'node:path';
import { loadTokenizer } from '../../../src/model/tokenizer-folder.ts';
import type { Tokenizer } from '../../../src/model/tokenizer.ts';
import { mismatchOf } from '../../../src/pipeline/continue/mismatches.ts';
import { stopTokens } from '../../../src/pipeline/continue/stop-tokens.ts';

const tags = { thinkStart: '<think>', thinkEnd: '</think>' };

function vocabulary(texts: readonly string[]): Tokenizer {
  const bytes = texts.map((text) => new TextEncoder().encode(text));
  return {
    tokenToId: new Map(texts.map((text, id) => [text, id])),
    specialIds: [],
    tokenBytes: (id: number) => bytes[id] ?? new Uint8Array(),
  } as unknown as Tokenizer;
}

function stopsAmong(texts: readonly string[]): readonly string[] {
  const stops = stopTokens(vocabulary(texts), tags);
  return texts.filter((_, id) => stops.has(id));
}

describe('stop tokens', () => {
  it('end a sentence in at most four characters', () => {
    const ends = ['.', '!', '?', '\n', '\n\n', ').', ').\n', ' no.', '。', '！', '？', '".', '(a).', '<think>', '</think>'];
    assert.deepEqual(stopsAmong([...ends, 'a', ', ', '. So', 'ends.', ' end.', '']), ends);
  });

  it('have no colon, and open nothing', () => {
    assert.deepEqual(stopsAmong([':\n', ' :.', '：\n', '(\n', '[.', '{\n', '“.', '「。', '(.)!']), ['(.)!']);
  });

  it('are no broken characters', () => {
    const tokenizer = vocabulary(['x']);
    assert.equal(stopTokens({ ...tokenizer, tokenBytes: () => Uint8Array.of(0xe3, 0x80) }, tags).size, 0);
  });

  it('of the example models are their points, marks, new lines and think tags', async () => {
    const tokenizer = await loadTokenizer(join(import.meta.dirname, '../../../examples/models/llm'));
    const stops = [...stopTokens(tokenizer, tags)].map((id) => tokenizer.decode([id]));
    assert.deepEqual(stops.sort(), ['\n', '\n\n', '!', '.', '</think>', '<think>', '?']);
  });
});

describe('a mismatch', () => {
  const row = { token_id: 7, token_type: 1, next_token: 20, slm_token: 21 };
  const thinkEnd = 99;

  it('is where the SLM would say another token, at that token', () => {
    assert.deepEqual(mismatchOf(row, thinkEnd), { position: 8, realToken: 20, slmToken: 21 });
    assert.equal(mismatchOf({ ...row, slm_token: 20 }, thinkEnd), undefined);
  });

  it('is not before the thinking began, nor where the LLM ends it', () => {
    assert.equal(mismatchOf({ ...row, token_type: 0 }, thinkEnd), undefined);
    assert.equal(mismatchOf({ ...row, next_token: thinkEnd }, thinkEnd), undefined);
  });

  it('is where the SLM would end the thinking early, and anywhere in the response', () => {
    assert.deepEqual(mismatchOf({ ...row, slm_token: thinkEnd }, thinkEnd), { position: 8, realToken: 20, slmToken: thinkEnd });
    assert.ok(mismatchOf({ ...row, token_type: 2 }, thinkEnd));
    assert.ok(mismatchOf(row, undefined));
  });
});
