import assert from 'node:assert/strict';
import { join } from 'node:path';
import fc from 'fast-check';
import { loadTokenizer } from '../../../src/model/tokenizer-folder.ts';
import type { Tokenizer } from '../../../src/model/tokenizer.ts';
import { partedTexts } from '../../../src/pipeline/token-marks.ts';
import { fittingPrompt } from '../../../src/pipeline/verify/fitting-prompt.ts';
import { lineEncoder } from '../../../src/pipeline/verify/line-encoder.ts';
import { makeMessages, type Comparison } from '../../../src/pipeline/verify/prompt.ts';
import { checkUnknownShare } from '../../../src/pipeline/verify/unknown-share.ts';
import { parseVerdict } from '../../../src/pipeline/verify/verdict.ts';

const comparison: Comparison = {
  question: 'Start with 47. Add 85. Multiply by 3. Take away 12. What is the result modulo 100?',
  common_context: 'Now 47 + 85 = 32. ',
  small_diverge_text: 'So 32 <<times>> 3 gives 86. ',
  reference_diverge_text: 'So 32 <<*>> 3 = 96. ',
  pred_small_text: ' <<times>>',
  real_text: ' *',
  areMarked: true,
};

describe('the standard prompt', () => {
  it('has context and both sentences, marked, and asks for 0 or 1', () => {
    const [system, user, ...more] = makeMessages('standard', comparison, []) ?? [];
    assert.equal(system?.role, 'system');
    const content = user?.content ?? '';
    for (const part of [
      'Common context: """Now 47 + 85 = 32."""',
      'Sentence 1: """So 32 <<times>> 3 gives 86."""',
      'Sentence 2: """So 32 <<*>> 3 = 96."""',
    ])
      assert.ok(content.includes(part), part);
    assert.match(content, /Output: 0 or Output: 1$/);
    assert.deepEqual(more, []);
  });

  // upstream reads an empty context back as NaN and asks about "nan"
  it('says that there is no context where there is none', () => {
    const content = makeMessages('standard', { ...comparison, common_context: '' }, [])?.[1]?.content ?? '';
    assert.doesNotMatch(content, /\bnan\b|""""""|Common context/i);
    assert.match(content, /no text before/);
  });

  it('says what was wrong with an answer, so that a greedy model does not repeat it', () => {
    const roles = makeMessages('standard', comparison, ['maybe', '2'])?.map(({ role }) => role);
    assert.deepEqual(roles, ['system', 'user', 'assistant', 'user', 'assistant', 'user']);
  });

  it('begins alike for all comparisons of a question', () => {
    const [first, second] = [comparison, { ...comparison, common_context: 'Now 47 + 85 = 32. So 32 * 3 = 96. ' }].map(
      (each) => makeMessages('standard', each, [])?.[1]?.content ?? '',
    );
    const shared = first?.indexOf('Now 47') ?? 0;
    assert.equal(first?.slice(0, shared + 17), second?.slice(0, shared + 17));
  });
});

describe('the plain prompt', () => {
  it("is the one of the model card's example", () => {
    assert.deepEqual(makeMessages('plain', comparison, []), [
      {
        role: 'user',
        content: [
          'Start with 47. Add 85. Multiply by 3. Take away 12. What is the result modulo 100?',
          'Shared: Now 47 + 85 = 32. So 32',
          'A: * 3 = 96.',
          'B: times 3 gives 86.',
          'Do A and B differ in meaning? Answer 0 or 1.',
        ].join('\n'),
      },
    ]);
  });

  it('leaves out all but the sentence in a second try, and has no third', () => {
    assert.match(makeMessages('plain', comparison, ['?'])?.[0]?.content ?? '', /^\nShared: So 32\nA: /);
    assert.equal(makeMessages('plain', comparison, ['?', '?']), undefined);
  });

  it('parts texts without marks at their tokens, and marked ones that have such marks of their own', () => {
    const bare = { small_diverge_text: 'a they go', reference_diverge_text: 'a the end', pred_small_text: ' they', real_text: ' the' };
    assert.deepEqual(partedTexts(bare, false), { shared: 'a', small: ' they go', reference: ' the end' });
    const shift = {
      small_diverge_text: 'x << 1; y <<<<>> 2',
      reference_diverge_text: 'x << 1; y <<>>>> 2',
      pred_small_text: ' <<<<>>',
      real_text: ' >>',
    };
    assert.deepEqual(partedTexts(shift, true), { shared: 'x << 1; y', small: ' << 2', reference: ' >> 2' });
  });
});

describe('a prompt that the verifier has no room for', () => {
  let tokenizer: Tokenizer;
  before(async () => (tokenizer = await loadTokenizer(join(import.meta.dirname, '../../../examples/models/verifier'))));
  const fit = (shown: Comparison, contextLength: number) =>
    fittingPrompt(shown, (each) => makeMessages('plain', each, []), {
      tokenizer,
      contextLength,
      maxNewTokens: 16,
      enableThinking: false,
      templateVariables: {},
    });

  it('loses the beginning of its context', () => {
    const long = { ...comparison, common_context: `${'Now 1 + 1 = 02. '.repeat(500)}So the last.\n` };
    const prompt = fit(long, 400);
    assert.ok(prompt?.isShortened && prompt.ids.length <= 384 && prompt.ids.length > 350);
    assert.match(tokenizer.decode(prompt.ids), /Shared: ….*So the last\.\nSo 32\nA: \* 3/s);
    assert.equal(fit(comparison, 400)?.isShortened, false);
  });

  it('has the tokens that the tokenizer gives, line by line or not', () => {
    const encode = lineEncoder(tokenizer);
    const piece = fc.constantFrom('\n', '\n\n', ' ', 'So ', '32', '.', '<think>', '<|im_end|>', '\u00e9', '\t', '\r\n', 'x');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) =>
        assert.deepEqual(encode(pieces.join('')), tokenizer.encode(pieces.join(''))),
      ),
    );
  });

  it('of a tokenizer that begins texts in its own way is left to it', () => {
    const marking: Tokenizer = { ...tokenizer, encode: (text) => [7, ...tokenizer.encode(text)] };
    assert.deepEqual(lineEncoder(marking)('So\nhe'), marking.encode('So\nhe'));
  });

  it('is not asked when nothing fits', () => assert.equal(fit(comparison, 40), undefined));
});

describe('a verdict', () => {
  for (const [said, verdict] of [
    ['0', 0],
    ['1', 1],
    [' 1.', 1],
    ['Output: 0', 0],
    ['output: 1\nReasoning: they differ in 2 places', 1],
    ['**Output:** 1', 1],
    ['Answer (Output: 0)', 0],
    ['(Output: <1>)', 1],
    ['The output is clear: 0', undefined],
    ['<think>\nOutput: 1?\n</think>\n\nOutput: 0', 0],
    // upstream takes any number, wherever it is
    ['11', undefined],
    ['Output: 11', undefined],
    ['10 of 10', undefined],
    ['0.5', undefined],
    ['-1', undefined],
    ['Output: -1', undefined],
    ['2', undefined],
    ['Sentence 1 says the same as sentence 2.', undefined],
    ['<think>\nOutput: 1', undefined],
    ['yes', undefined],
    ['', undefined],
  ] as const)
    it(`in ${JSON.stringify(said)} is ${verdict ?? 'none'}`, () => assert.equal(parseVerdict(said), verdict));
});

describe('a verifier without verdicts', () => {
  it('is refused once more are missing than the share of all comparisons, judged or not yet', () => {
    assert.throws(() => checkUnknownShare(6, 100, 0.05, 'maybe'), {
      code: 'PIPELINE_VERIFIER',
      field: 'params.maxUnknownShare',
      retryable: false,
      message: /6 of 100 .*5 %.*"maybe".*use a model that follows instructions/,
    });
    assert.doesNotThrow(() => checkUnknownShare(5, 100, 0.05, 'maybe'));
    assert.doesNotThrow(() => checkUnknownShare(0, 0, 0));
    assert.doesNotThrow(() => checkUnknownShare(100, 100, 1));
  });
});
