import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Tokenizer } from '../../src/model/tokenizer.ts';
import { loadTokenizer } from '../../src/model/tokenizer-folder.ts';
import { readChatRequest } from '../../src/router/api/chat-request.ts';
import { ApiError } from '../../src/router/errors.ts';
import { longestTokenBytes, makePrompt, type Prompt } from '../../src/router/prompt.ts';
import { ask } from './chat-client.ts';

describe('the refusal of a prompt by its bytes', () => {
  let tokenizer: Tokenizer;
  let longest: number;
  before(async () => {
    tokenizer = await loadTokenizer('examples/models/slm');
    longest = longestTokenBytes(tokenizer);
  });

  it('comes from one byte more than the context in longest tokens on, and before the text is tokenised', () => {
    const encoded: number[] = [];
    const make = (bytes: number): Prompt => {
      const text = 'é'.repeat(Math.floor(bytes / 2)) + 'e'.repeat(bytes % 2);
      const fake: Tokenizer = { ...tokenizer, applyChatTemplate: () => text, encode: () => (encoded.push(bytes), []) };
      const model = { tokenizer: fake, tags: undefined, longestTokenBytes: longest };
      const [input] = readChatRequest(ask, 0).prompts;
      return makePrompt(input!, model, { contextLength: 100, validIds: 100 }, 'k');
    };
    make(100 * longest);
    assert.throws(
      () => make(100 * longest + 1),
      (error) => error instanceof ApiError && error.code === 'context_length_exceeded' && error.param === 'messages',
    );
    assert.deepEqual(encoded, [100 * longest]);
  });

  it('meets no text that would fit: none has fewer tokens than its bytes divided by the longest token', () => {
    const special = [...tokenizer.tokenToId.keys()].filter((token) => token.startsWith('<'));
    const part = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(...special),
      fc.constantFrom(' '.repeat(64), 'Start with 63. Add 4.'),
    );
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        const text = parts.join('');
        assert.ok(tokenizer.encode(text).length * longest >= Buffer.byteLength(text));
      }),
    );
  });
});
