import assert from 'node:assert/strict';
import { join } from 'node:path';
import fc from 'fast-check';
import { Detokenizer } from '../../src/engine/detokenizer.ts';
import type { FinishReason } from '../../src/engine/messages.ts';
import { loadTokenizer } from '../../src/model/tokenizer-folder.ts';
import type { Tokenizer } from '../../src/model/tokenizer.ts';
import { samplingParams } from './sampling-params.ts';

const length: FinishReason = { type: 'length', length: 1 };

describe('detokenizer', () => {
  let tokenizer: Tokenizer;
  before(async () => {
    tokenizer = await loadTokenizer(join(import.meta.dirname, '../conformance/models/slm'));
  });
  const start = (change = {}) => new Detokenizer(tokenizer, Int32Array.from(tokenizer.encode('hello')), { ...samplingParams, ...change });

  it('shows text token by token and never takes any back', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(511), { minLength: 1, maxLength: 30 }), (ids) => {
        const detokenizer = start();
        let shown = '';
        for (const [index, id] of ids.entries()) {
          detokenizer.push([id], index === ids.length - 1 ? length : null);
          assert.ok(detokenizer.text.startsWith(shown));
          shown = detokenizer.text;
        }
      }),
      { seed: 7 },
    );
  });

  it('shows a text whole at the end, in pieces of any size', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }), fc.integer({ min: 1, max: 5 }), (binary, size) => {
        const text = binary.toWellFormed();
        const ids = tokenizer.encode(text);
        const detokenizer = start();
        for (let from = 0; from < ids.length; from += size)
          detokenizer.push(ids.slice(from, from + size), from + size >= ids.length ? length : null);
        assert.equal(detokenizer.text, text);
      }),
      { seed: 8 },
    );
  });

  it('waits for the rest of a character', () => {
    const detokenizer = start();
    const [first = 0, ...rest] = tokenizer.encode('😀');
    detokenizer.push([first], null);
    assert.equal(detokenizer.text, '');
    detokenizer.push(rest, length);
    assert.equal(detokenizer.text, '😀');
  });

  it('cuts off a stop string and a stop token, unless told to keep them', () => {
    const ids = tokenizer.encode('one two three');
    const stop: FinishReason = { type: 'stop', matched: ' tw' };
    const cut = start();
    cut.push(ids, stop);
    assert.equal(cut.text, 'one');
    const kept = start({ noStopTrim: true });
    kept.push(ids, stop);
    assert.equal(kept.text, 'one tw');
    const end: FinishReason = { type: 'stop', matched: 463 };
    const trimmed = start({ skipSpecialTokens: false });
    trimmed.push([...ids, 463], end);
    assert.equal(trimmed.text, 'one two three');
    const untrimmed = start({ skipSpecialTokens: false, noStopTrim: true });
    untrimmed.push([...ids, 463], end);
    assert.equal(untrimmed.text, 'one two three<|im_end|>');
  });

  it('shows ids beyond the tokenizer as SGLang does, as token 0', () => {
    const detokenizer = start();
    detokenizer.push([500], length);
    assert.equal(detokenizer.text, '!');
  });
});
