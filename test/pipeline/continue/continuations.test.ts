import assert from 'node:assert/strict';
import { join } from 'node:path';
import { loadTokenizer } from '../../../src/model/tokenizer-folder.ts';
import type { Tokenizer } from '../../../src/model/tokenizer.ts';
import { ResponseText, type ContinuationTexts, type TextRule } from '../../../src/pipeline/continue/continuations.ts';
import { stopTokens } from '../../../src/pipeline/continue/stop-tokens.ts';

const rule: TextRule = {
  thinkStart: '<think>',
  numContinuation: 1,
  previousContext: 0,
  commonPreviousContext: -1,
  skipStressDivergentToken: false,
};

describe('the texts of two ways on', () => {
  let tokenizer: Tokenizer;
  let stops: ReadonlySet<number>;
  before(async () => {
    tokenizer = await loadTokenizer(join(import.meta.dirname, '../../../examples/models/llm'));
    stops = stopTokens(tokenizer, { thinkStart: '<think>', thinkEnd: '</think>' });
  });

  /** Texts of a real answer and another way on, each given as `token¦what follows`. */
  function texts(before: string, small: string, real: string, changes: Partial<TextRule> = {}): ContinuationTexts {
    const context = tokenizer.encode(before);
    const branch = (text: string) => {
      const [tokenText = '', rest = ''] = text.split('¦');
      const [token = -1, ...others] = tokenizer.encode(tokenText);
      assert.deepEqual(others, [], `${tokenText} is one token`);
      return { token, ids: tokenizer.encode(rest), isStop: stops.has(token) };
    };
    const [smallBranch, realWay] = [branch(small), branch(real)];
    const text = new ResponseText([...context, realWay.token, ...realWay.ids], tokenizer);
    return text.texts(context.length, smallBranch, realWay, stops.has(context.at(-1) ?? -1), { ...rule, ...changes });
  }

  const lead = '<|im_start|>assistant\n<think>\nNow 47 + 85 = 32. So 32';
  const small = ' times¦ 3 gives 86. So 86';
  const real = ' *¦ 3 = 96. So 96 - 12 = 84.';

  it('begin with the sentence in which they part and end with it, after what they have in common', () => {
    assert.deepEqual(texts(lead, small, real), {
      common_context: 'Now 47 + 85 = 32. ',
      small_diverge_text: 'So 32 <<times>> 3 gives 86. ',
      reference_diverge_text: 'So 32 <<*>> 3 = 96. ',
      pred_small_text: ' <<times>>',
      real_text: ' *',
    });
  });

  it('have no marks where they are not wanted', () => {
    const plain = texts(lead, small, real, { skipStressDivergentToken: true });
    assert.equal(plain.small_diverge_text, 'So 32 times 3 gives 86. ');
    assert.equal(plain.pred_small_text, ' times');
  });

  it('have more sentences where more are wanted: behind, before, and in common', () => {
    assert.equal(texts(lead, small, real, { numContinuation: 2 }).reference_diverge_text, 'So 32 <<*>> 3 = 96. So 96 - 12 = 84.');
    const all = texts(lead, small, real, { previousContext: -1 });
    assert.deepEqual([all.common_context, all.small_diverge_text], ['', 'Now 47 + 85 = 32. So 32 <<times>> 3 gives 86. ']);
    const longer = lead.replace('So 32', 'So 1. So 2. So 32');
    const one = texts(longer, small, real, { previousContext: 1, commonPreviousContext: 1 });
    assert.deepEqual([one.common_context, one.small_diverge_text], ['So 1. ', 'So 2. So 32 <<times>> 3 gives 86. ']);
  });

  it('leave out all before the last think tag', () => {
    assert.equal(texts(`<think>\nOld.\n</think>\n${lead}`, small, real).common_context, 'Now 47 + 85 = 32. ');
  });

  it('take in the sentence that a token ends', () => {
    const parted = texts('<think>\nSo 32 * 3 = 96', '.¦ So 96', ' by¦ 2. So 48');
    assert.equal(parted.small_diverge_text, 'So 32 * 3 = 96<<.>> ');
    assert.equal(parted.reference_diverge_text, 'So 32 * 3 = 96 <<by>> 2. ');
  });

  it('go on to the next sentence behind a token that ends what had ended', () => {
    const parted = texts('<think>\nNow 1. So 96.', ' So¦ 96 - 12 = 84. Then', '\n¦Then 5 = 5.\n');
    assert.deepEqual(parted, {
      common_context: 'Now 1. So 96.',
      small_diverge_text: ' <<So>> 96 - 12 = 84. ',
      reference_diverge_text: '<<\n>>Then 5 = 5.\n',
      pred_small_text: ' <<So>>',
      real_text: '\n',
    });
  });

  // upstream's sentence is empty where it does not find the token, and its context the word EMPTY
  it('always have the token, also at the beginning and at an end token', () => {
    const first = texts('<think>\n', 'Now¦ 1.', 'So¦ 1.');
    assert.deepEqual([first.common_context, first.small_diverge_text, first.reference_diverge_text], ['', '<<Now>> 1.', '<<So>> 1.']);
    const last = texts('<think>\nSo 96.', '<|im_end|>¦', ' Now¦ 1.');
    assert.deepEqual([last.small_diverge_text, last.reference_diverge_text], ['So 96.<<<|im_end|>>>', 'So 96. <<Now>> 1.']);
  });

  it('keep characters whole that several tokens make up', () => {
    const [first = -1, ...others] = tokenizer.encode('é');
    assert.ok(others.length > 0, 'é is several tokens');
    const context = tokenizer.encode('<think>\nSo é');
    const text = new ResponseText([...context, ...tokenizer.encode('. Now')], tokenizer);
    const way = (token: number, ids: readonly number[]) => ({ token, ids, isStop: false });
    const parted = text.texts(
      context.length,
      way(first, [...others, ...tokenizer.encode(' is.')]),
      way(tokenizer.encode('.')[0] ?? -1, []),
      false,
      rule,
    );
    assert.equal(parted.small_diverge_text, 'So é<<é>> is.');
    const inside = text.texts(context.length - 1, way(tokenizer.encode('.')[0] ?? -1, []), way(others[0] ?? -1, []), false, rule);
    assert.equal(inside.reference_diverge_text, 'So <<é>>');
  });
});
