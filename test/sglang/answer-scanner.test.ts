import assert from 'node:assert/strict';
import fc from 'fast-check';
import { scanAnswer } from '../../src/sglang/answer-scanner.ts';
import { expectedAnswer, readPacked, type ExpectedAnswer } from '../../src/sglang/answer.ts';
import type { GenerateBody } from '../../src/sglang/call.ts';
import { decodeAnswer } from '../../src/sglang/decoding.ts';
import { EngineError } from '../../src/sglang/index.ts';
import { NumberScanner } from '../../src/sglang/number-scanner.ts';
import { bounded } from '../scale.ts';
import { recording } from './recordings.ts';

const url = 'http://slm';

/** What JSON.parse alone makes of a text. */
function parsed(text: Buffer, expected: ExpectedAnswer): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text.toString('utf8'));
  } catch (error) {
    return ['malformed', `${url}: answer to /generate is not JSON: ${(error as Error).message}`];
  }
  return outcome(() => readPacked(value, expected, url));
}

function outcome(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    assert.ok(error instanceof EngineError, String(error));
    return [error.code, error.message];
  }
}

/** Texts are read as JSON.parse reads them, or refused with its words. */
function assertSame(text: string | Buffer, expected: ExpectedAnswer): void {
  const bytes = Buffer.from(text);
  assert.deepEqual(
    outcome(() => decodeAnswer(new Uint8Array(bytes), expected, url)),
    parsed(bytes, expected),
    bytes.toString('latin1'),
  );
}

const isScanned = (text: string, expected: ExpectedAnswer): boolean => scanAnswer(Buffer.from(text), expected) !== undefined;

interface Parts {
  readonly top: readonly (readonly string[])[];
  readonly states: readonly string[];
  readonly text?: string;
  readonly tail?: string;
  readonly cached?: number;
}

/** An answer of as many tokens as there are rows, written by hand. */
function answerText({ top, states, text = '""', tail = '', cached = 2 }: Parts): string {
  const ids = top.map((row) => /,(\d+),/.exec(row[0] ?? '')?.[1] ?? '0').join(',');
  const tops = top.map((row) => `[${row.join(',')}]`).join(',');
  return (
    `{"text":${text},"output_ids":[${ids}],"meta_info":{"id":"rid","finish_reason":{"type":"length","length":${top.length}},` +
    `"prompt_tokens":3,"completion_tokens":${top.length},"cached_tokens":${cached},"output_top_logprobs":[${tops}],` +
    `"hidden_states":[${states.join(',')}]${tail}}}`
  );
}

const expectedOf = (tokens: number, topLogprobs: number): ExpectedAnswer => ({
  rid: 'rid',
  promptTokens: 3,
  maxNewTokens: tokens,
  topLogprobs,
  hiddenStates: true,
});

const small: Parts = {
  top: [
    ['[-0.25,7,null]', '[-1.5,3,null]'],
    ['[-0.125,5,null]', '[null,9,null]'],
  ],
  states: ['[[1.5,-0.25,3]]', '[0.5,-2,-0.0]'],
};

const digits = (maxLength: number) => fc.stringMatching(new RegExp(`^[0-9]{1,${maxLength}}$`));
/** Numbers as JSON allows them, and now and then as it does not. */
const numberText = fc.oneof(
  { weight: 4, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)) },
  { weight: 4, arbitrary: fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)) },
  { weight: 4, arbitrary: fc.double({ min: -40, max: 40, noNaN: true }).map((value) => JSON.stringify(value)) },
  {
    weight: 4,
    arbitrary: fc
      .integer()
      .map(bfloat16)
      .filter(Number.isFinite)
      .map((value) => JSON.stringify(value)),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constantFrom('', '-'), digits(12), digits(24)).map(([sign, whole, part]) => `${sign}${Number(whole)}.${part}`),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(digits(18), digits(18), fc.integer({ min: -330, max: 330 })).map(([a, b, e]) => `${Number(a[0])}.${b}e${e}`),
  },
  // halfway between two doubles, and next to it
  { weight: 2, arbitrary: fc.tuple(fc.integer({ min: 2 ** 30, max: 2 ** 31 - 1 }), fc.nat(1000)).map(halfway) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '-0',
      '0',
      '0.0',
      '-0.000',
      '1e400',
      '-1e400',
      '5e-324',
      '2e-324',
      '1E5',
      '1e+5',
      '1.0E-05',
      '1e39',
      '3.5e38',
    ),
  },
);
function bfloat16(bits: number): number {
  return new Float32Array(Int32Array.of(bits & ~0xffff).buffer)[0] ?? 0;
}

const wrongNumber = fc.constantFrom(
  '01',
  '-',
  '+1',
  '.5',
  '5.',
  '1e',
  '1e+',
  '--1',
  '0x1',
  'NaN',
  'Infinity',
  '-Infinity',
  'nul',
  '',
  '1.2.3',
  '-01.5',
  '00.5',
  '+.5',
  '"1"',
  'true',
  '[]',
  '{}',
  ' 1',
  '1 ',
);

/** A decimal fraction with 17 or more digits that lies in the middle of two doubles, or a last digit beside it. */
function halfway([high, low]: readonly [number, number]): string {
  // (2m + 1) / 2^k with 2m + 1 of 54 bits, as decimals of k digits
  const odd = (BigInt(high) << 23n) | (BigInt(low) << 1n) | 1n;
  const places = 53;
  const scaled = (odd * 10n ** BigInt(places)) >> BigInt(places);
  const text = scaled.toString().padStart(places + 1, '0');
  return `${text.slice(0, -places)}.${text.slice(-places).slice(0, 8 + (low % 46))}`;
}

describe('numbers read in place', () => {
  const read = (text: string): number | undefined => {
    const scanner = new NumberScanner(Buffer.from(`${text}}`), 0);
    return scanner.number() && scanner.left === 1 ? scanner.value[0] : undefined;
  };
  const readInList = (text: string): Float32Array | undefined => {
    const into = new Float32Array(2);
    return new NumberScanner(Buffer.from(`[${text},${text}]}`), 0).list(into) === 2 ? into : undefined;
  };

  it('are the doubles that JSON.parse gives, to the bit', () => {
    fc.assert(
      fc.property(numberText, (text) => {
        const value = JSON.parse(text) as number;
        assert.ok(Object.is(read(text), value), `${text} is ${value}, read was ${read(text)}`);
        assert.deepEqual(readInList(text), Float32Array.of(value, value), text);
      }),
      bounded(20_000, 10_000),
    );
  });

  it('of 15 to 19 digits are rounded once', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 10n ** 14n, max: 10n ** 19n }), fc.nat(19), (mantissa, places) => {
        const all = mantissa.toString().padStart(places + 1, '0');
        const text = places === 0 ? all : `${all.slice(0, -places)}.${all.slice(-places)}`;
        assert.ok(Object.is(read(text), Number(text)), `${text} is ${Number(text)}, read was ${read(text)}`);
      }),
      bounded(20_000, 10_000),
    );
  });

  it('are only what JSON allows', () => {
    fc.assert(
      fc.property(wrongNumber, (text) => {
        assert.equal(read(text), undefined, text);
        assert.equal(readInList(text), undefined, text);
      }),
    );
  });
});

describe('answers read in place', function () {
  this.timeout(60_000);

  for (const name of [
    'generate_hs_true_1_cold',
    'generate_hs_true_1_warm',
    'generate_logprob_top100_1',
    'generate_logprob_top5_8',
    'generate_logprob_top512_hs_2',
    'zz_concurrent_mixed_B_hs',
  ])
    it(`are those of a real SGLang: ${name}`, () => {
      const { request, response } = recording(name);
      const rid = (response.body as { meta_info: { id: string } }).meta_info.id;
      const expected = expectedAnswer({ ...(request.body as GenerateBody), rid });
      const text = JSON.stringify(response.body);
      assert.ok(isScanned(text, expected), 'the quick way was taken');
      assertSame(text, expected);
      assertSame(JSON.stringify(response.body, null, 1), expected);
      assertSame(text, { ...expected, rid: 'other' });
      assertSame(text, { ...expected, promptTokens: expected.promptTokens + 1 });
      assertSame(text, { ...expected, topLogprobs: expected.topLogprobs + 1 });
      assertSame(text, { ...expected, hiddenStates: !expected.hiddenStates });
      assertSame(text, { ...expected, maxNewTokens: 1 });
    });

  it('are the same as parsed ones, whatever the numbers are', () => {
    const cell = fc.oneof({ weight: 200, arbitrary: numberText }, { weight: 1, arbitrary: wrongNumber });
    const logprob = fc.oneof(
      { weight: 60, arbitrary: fc.double({ min: -30, max: 0, noNaN: true }).map((value) => JSON.stringify(value)) },
      { weight: 4, arbitrary: fc.constant('null') },
      { weight: 1, arbitrary: cell },
    );
    const id = fc.oneof(
      { weight: 200, arbitrary: fc.nat(200_000).map(String) },
      { weight: 1, arbitrary: fc.constantFrom('-1', '1.5', '2147483648', '2147483647', '5.0', '1e2', '-0', 'null') },
    );
    const closing = fc.oneof(
      { weight: 300, arbitrary: fc.constant(',null]') },
      { weight: 1, arbitrary: fc.constantFrom(']', ',"a"]', ', null]', ',null,1]', ',[]]') },
    );
    const entry = fc.tuple(logprob, id, closing).map(([first, second, end]) => [first, `[${first},${second}${end}`] as const);
    const value = ([text]: readonly [string, string]): number => (text === 'null' ? -Infinity : Number(text));
    const answer = fc
      .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), fc.nat(3))
      .chain(([tokens, count, width, promptRows]) => {
        const row = fc.array(cell, { minLength: width, maxLength: width }).map((cells) => `[${cells.join(',')}]`);
        const top = fc
          .tuple(fc.array(entry, { minLength: count, maxLength: count }), fc.integer({ min: 0, max: 30 }))
          .map(([entries, disorder]) =>
            (disorder === 0 ? entries : entries.toSorted((a, b) => value(b) - value(a))).map(([, text]) => text),
          );
        return fc.record({
          expected: fc.constant(expectedOf(tokens, count)),
          cached: fc.constantFrom(0, 1, 2, 2, 2),
          top: fc.array(top, { minLength: tokens, maxLength: tokens }),
          states: fc
            .tuple(fc.array(row, { minLength: promptRows, maxLength: promptRows }), fc.array(row, { minLength: tokens, maxLength: tokens }))
            .map(([prompt, [first = '', ...rest]]) => [promptRows === 0 ? first : `[${[...prompt.slice(1), first].join(',')}]`, ...rest]),
        });
      });
    let scanned = 0;
    let all = 0;
    fc.assert(
      fc.property(answer, ({ expected, ...parts }) => {
        const text = answerText(parts);
        all++;
        if (isScanned(text, expected)) scanned++;
        assertSame(text, expected);
      }),
      bounded(5_000, 20_000),
    );
    assert.ok(scanned > all / 2, `${scanned} of ${all} went the quick way`);
  });

  it('are the same as parsed ones when they are cut off anywhere', () => {
    const text = answerText(small);
    for (let length = 0; length <= text.length; length++) {
      assertSame(text.slice(0, length), expectedOf(2, 2));
      assertSame(`${text.slice(0, length)}}`, expectedOf(2, 2));
      assertSame(`${text.slice(0, length)}}}`, expectedOf(2, 2));
    }
  });

  it('are the same as parsed ones with any byte changed, lost or put in', () => {
    const text = Buffer.from(answerText(small));
    const byte = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(...Buffer.from(' \t\n\r,:[]{}"\\-+.eE0123456789nul')));
    const change = fc.tuple(fc.nat(text.length - 1), fc.nat(2), fc.array(byte, { maxLength: 2 }));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        let bytes = text;
        for (const [at, lost, added] of changes)
          bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(added), bytes.subarray(at + lost)]);
        assertSame(bytes, expectedOf(2, 2));
      }),
      bounded(20_000, 20_000),
    );
  });

  const other = '"hidden_states":[[[9,9,9]],[9,9,9]]';
  const cases: Record<string, string> = {
    'the name in a string': answerText({ ...small, text: JSON.stringify(`{${other},"output_top_logprobs":[]}`) }),
    'the name as a string': answerText({ ...small, text: '"hidden_states"' }),
    'the name behind a quote in a name': answerText({ ...small, tail: ',"a\\",\\"hidden_states":[1]' }),
    'the name behind a backslash': answerText({ ...small, text: '"\\\\","hidden_states":[1]' }),
    'the list twice': answerText({ ...small, tail: `,${other}` }),
    'the list once more, without a list': answerText({ ...small, tail: ',"hidden_states":null' }),
    'the list once more, with spaces': answerText({ ...small, tail: ',"hidden_states" : [[1,2,3],[4,5,6]]' }),
    'the list once more, under an escaped name': answerText({ ...small, tail: `,${other.replace('_', '\\u005f')}` }),
    'a null under an escaped name, and the list elsewhere': answerText({ ...small, tail: ',"hidden\\u005fstates":null' })
      .replace('"hidden_states"', '"a":{"hidden_states"')
      .replace(',"hidden\\', '},"hidden\\'),
    'the list elsewhere': answerText(small).replace('"hidden_states"', '"a":{"hidden_states"').replace(/}}$/, '}}}'),
    'the list beside meta_info': answerText(small).replace('{"text"', `{${other},"text"`),
    'the list only beside meta_info': answerText(small).replace(',"hidden_states"', '},"a":{"hidden_states"'),
    'meta_info twice': answerText(small).replace(/}$/, ',"meta_info":{}}'),
    'meta_info twice, with a null': answerText(small).replace(/}$/, ',"meta_info":{"hidden_states":null}}'),
    'a control character in the text': answerText({ ...small, text: '"\\u001b\\u0041é😀\\ud800"' }),
    'a name that is a prototype': answerText({ ...small, tail: ',"__proto__":{"hidden_states":null}' }),
    'the lists in the other order': answerText(small).replace(/("output_top_logprobs":.*),("hidden_states":.*)}}/, '$2,$1}}'),
    'a byte order mark': `\ufeff${answerText(small)}`,
    'a new line at the end': `${answerText(small)}\n`,
    'spaces between': answerText(small).replaceAll(',', ', ').replaceAll(':', ': '),
    'tabs and line ends within': answerText(small).replaceAll('[', '[\t').replaceAll(']', '\r\n]'),
    'too few prompt rows': answerText({ ...small, cached: 0 }),
    'two prompt rows': answerText({ ...small, states: ['[[1,2,3],[4,5,6]]', '[7,8,9]'], cached: 1 }),
    'a prompt row of another width': answerText({ ...small, states: ['[[1],[4,5,6]]', '[7,8,9]'] }),
    'an empty prompt row': answerText({ ...small, states: ['[[],[4,5,6]]', '[7,8,9]'] }),
    'prompt rows that are no numbers': answerText({ ...small, states: ['[[],[null],["a"],[4,5,6]]', '[7,8,9]'] }),
    'an empty last prompt row': answerText({ ...small, states: ['[[4,5,6],[]]', '[7,8,9]'] }),
    'a later row in a list': answerText({ ...small, states: ['[[4,5,6]]', '[[7,8,9]]'] }),
    'a longer row': answerText({ ...small, states: ['[[4,5,6]]', '[7,8,9,10]'] }),
    'a shorter row': answerText({ ...small, states: ['[[4,5,6]]', '[7,8]'] }),
    'a state beyond single precision': answerText({ ...small, states: ['[[4,5,6]]', '[7,8,1e39]'] }),
    'a row too many': answerText({ ...small, states: [...small.states, '[1,2,3]'] }),
    'a row too few': answerText({ ...small, states: small.states.slice(1) }),
    'no rows': answerText({ ...small, states: [] }),
    'a number for a list': answerText(small).replace(/"hidden_states":.*}}/, '"hidden_states":5}}'),
    'an ascending distribution': answerText({ ...small, top: [small.top[0]!, small.top[1]!.toReversed()] }),
    'a distribution that ascends': answerText({ ...small, top: [['[-2.5,1,null]', '[-1.5,2,null]'], small.top[1]!] }),
    'a distribution above certainty': answerText({ ...small, top: [['[0.5,1,null]', '[-1.5,2,null]'], small.top[1]!] }),
    'another token than the best': answerText(small).replace('"output_ids":[7', '"output_ids":[3'),
    'a distribution too many': answerText(small).replace('"output_top_logprobs":[', '"output_top_logprobs":[[[0,1,null],[-1,2,null]],'),
  };
  for (const [what, text] of Object.entries(cases))
    it(`are the same as parsed ones with ${what}`, () => {
      assertSame(text, expectedOf(2, 2));
      assertSame(text, { ...expectedOf(2, 2), hiddenStates: false });
      assertSame(text, { ...expectedOf(2, 2), topLogprobs: 0 });
      assertSame(text, expectedOf(3, 2));
      assertSame(text, expectedOf(2, 1));
    });

  it('need not be as long as asked', () => {
    const text = answerText(small);
    const packed = decodeAnswer(new Uint8Array(Buffer.from(text)), expectedOf(1_000_000, 2), url);
    assert.ok(isScanned(text, expectedOf(1_000_000, 2)));
    assert.deepEqual([packed.hidden?.values.buffer.byteLength, packed.top?.ids.buffer.byteLength], [2 * 3 * 4, 2 * 2 * 4]);
  });
});
