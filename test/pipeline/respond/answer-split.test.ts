import assert from 'node:assert/strict';
import { join } from 'node:path';
import { loadTokenizer } from '../../../src/model/tokenizer-folder.ts';
import type { Tokenizer } from '../../../src/model/tokenizer.ts';
import { splitAnswer } from '../../../src/pipeline/respond/answer-split.ts';
import { makePrompt } from '../../../src/pipeline/respond/prompt.ts';

const tags = { thinkStart: '<think>', thinkEnd: '</think>' };
const plain = { enableThinking: true, templateVariables: {}, thinkStart: '<think>' };

describe('an answer', () => {
  let tokenizer: Tokenizer;
  before(async () => (tokenizer = await loadTokenizer(join(import.meta.dirname, '../../../examples/models/llm'))));
  const split = (text: string, finish: 'stop' | 'length', startsThinking = false) =>
    splitAnswer({ ids: tokenizer.encode(text), finish }, startsThinking, tokenizer, tags);

  it('is reasoning before the first end of thinking, and response after it', () => {
    const answer = split('<think>\nNow 1 + 1 = 02.\n</think>\n\nThe answer is 02. </think> is a tag.<|im_end|>', 'stop');
    assert.deepEqual(answer, { reasoning: 'Now 1 + 1 = 02.', response: 'The answer is 02. </think> is a tag.', isFinished: true });
  });

  it('is split where the prompt has the opening tag', () => {
    assert.deepEqual(split('So 02.\n</think>\n\nIt is 02.<|im_end|>', 'stop', true), {
      reasoning: 'So 02.',
      response: 'It is 02.',
      isFinished: true,
    });
  });

  it('that knows no tags is all response, and finished by its end token', () => {
    assert.deepEqual(split('The answer is 02.<|im_end|>', 'stop'), { reasoning: '', response: 'The answer is 02.', isFinished: true });
  });

  // upstream takes what has closed its think block for finished
  it('that closed its thinking and ran into the limit is not finished', () => {
    const answer = split('<think>\nSo 02.\n</think>\n\nThe answer', 'length');
    assert.deepEqual(answer, { reasoning: 'So 02.', response: 'The answer', isFinished: false });
  });

  it('that ended in the middle of its thoughts is not finished', () => {
    assert.deepEqual(split('<think>\nSo 0<|im_end|>', 'stop'), { reasoning: 'So 0', response: '', isFinished: false });
    assert.equal(split('So 0<|im_end|>', 'stop', true).isFinished, false);
  });

  it('may be nothing', () => {
    assert.deepEqual(split('', 'length'), { reasoning: '', response: '', isFinished: false });
  });
});

describe('a prompt', () => {
  let tokenizer: Tokenizer;
  before(async () => (tokenizer = await loadTokenizer(join(import.meta.dirname, '../../../examples/models/slm'))));

  // upstream's HTTP variant sends the templated text as a message
  it('has the template once, and its tokens are those of the text', () => {
    const { text, ids, startsThinking } = makePrompt('What is 1 + 1?', tokenizer, plain);
    assert.equal(text, '<|im_start|>user\nWhat is 1 + 1?<|im_end|>\n<|im_start|>assistant\n');
    assert.equal(tokenizer.decode(ids, { keepSpecialTokens: true }), text);
    assert.equal(ids.filter((id) => id === tokenizer.tokenToId.get('<|im_start|>')).length, 2);
    assert.equal(startsThinking, false);
  });

  it('hands its variables to the template, over enable_thinking', () => {
    const closed = '<think>\n\n</think>\n\n';
    assert.ok(makePrompt('?', tokenizer, { ...plain, enableThinking: false }).text.endsWith(closed));
    assert.ok(makePrompt('?', tokenizer, { ...plain, templateVariables: { enable_thinking: false } }).text.endsWith(closed));
  });

  // R1-Distill: the template writes the token that begins a text, and encoding must not add another
  it('has the token that begins a text once, and knows that the template began to think', () => {
    const r1: Tokenizer = {
      ...tokenizer,
      applyChatTemplate: ([message]) => `<|endoftext|>${message?.content ?? ''}<think>\n`,
      encode: (text, options) => [...(options?.addSpecialTokens ? [461] : []), ...tokenizer.encode(text)],
    };
    const { ids, startsThinking } = makePrompt('?', r1, plain);
    assert.equal(ids.filter((id) => id === 461).length, 1);
    assert.equal(startsThinking, true);
  });

  it('names the model whose template refuses a question', () => {
    const refusing: Tokenizer = {
      ...tokenizer,
      applyChatTemplate: () => {
        throw new Error('roles must alternate');
      },
    };
    assert.throws(() => makePrompt('?', refusing, plain), { code: 'PIPELINE_MODEL', field: 'models.slm', message: /roles must alternate/ });
  });
});
