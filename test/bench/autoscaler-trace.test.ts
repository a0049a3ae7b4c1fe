import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseTrace, TraceError, traceWorkload } from '../../bench/autoscaler/trace-file.ts';

const root = join(import.meta.dirname, '..', '..');

const azure = `TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:18:03.9799600,110,27
`;
const mooncake = `{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]}
{"timestamp": 3052, "input_length": 7322, "output_length": 490, "hash_ids": [0, 2]}
`;
const serveGen = `{"timestamp": 10.5, "input_tokens": 208, "output_tokens": 792}

{"timestamp": 12, "input_tokens": 23423, "output_tokens": 1527}
`;

describe('a trace for the autoscaler benchmark', () => {
  let folder: string;
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  before(() => (folder = mkdtempSync(join(tmpdir(), 'r2r-trace-'))));
  after(() => rmSync(folder, { recursive: true }));

  it("is read from Azure's CSV, with or without the time zone, a byte order mark or empty lines", () => {
    const expected = [
      { seconds: 1700158623.97996, promptTokens: 4808, tokens: 10 },
      { seconds: 1700158624.03196, promptTokens: 3180, tokens: 8 },
      { seconds: 1700158683.97996, promptTokens: 110, tokens: 27 },
    ];
    assert.deepEqual(parseTrace(azure, 'azure.csv'), expected);
    const of2024 = `\uFEFF${azure.replaceAll(/(\d{7}),/g, '$1+00:00,').replaceAll('\n', '\r\n\r\n')}`;
    assert.deepEqual(parseTrace(of2024, 'AZURE.CSV'), expected);
  });

  it("is read from Mooncake's lines in milliseconds, and from ServeGen's in seconds", () => {
    assert.deepEqual(parseTrace(mooncake, 'mooncake.jsonl'), [
      { seconds: 0, promptTokens: 6758, tokens: 500 },
      { seconds: 3.052, promptTokens: 7322, tokens: 490 },
    ]);
    assert.deepEqual(parseTrace(serveGen, 'servegen.jsonl'), [
      { seconds: 10.5, promptTokens: 208, tokens: 792 },
      { seconds: 12, promptTokens: 23423, tokens: 1527 },
    ]);
  });

  it('begins with its first request and ends some minutes after its last, in whatever order they stand', () => {
    const [header = '', ...lines] = azure.trim().split('\n');
    const workload = traceWorkload(file('reversed.csv', [header, ...lines.reverse()].join('\n')), 1, 1);
    assert.equal(workload.name, 'reversed.csv');
    assert.deepEqual([...workload.tokens], [10, 8, 27]);
    assert.deepEqual(
      [...workload.at].map((seconds) => seconds.toFixed(3)),
      ['0.000', '0.052', '60.000'],
    );
    assert.equal(workload.seconds, 360);
  });

  it('comes several times over, each copy within a second of its request', () => {
    const workload = traceWorkload(file('copies.jsonl', mooncake), 3, 1);
    assert.deepEqual([...workload.tokens].sort(), [490, 490, 490, 500, 500, 500]);
    assert.ok([...workload.at].every((at, index, all) => index === 0 || at >= (all[index - 1] ?? 0)));
    assert.ok([...workload.at].slice(3).every((at) => at >= 3.052 && at < 4.052));
  });

  it('may be as long as a week of requests', () => {
    const lines = Array.from({ length: 300_000 }, (_, index) => `${index},100,10`);
    const workload = traceWorkload(file('long.csv', `TIMESTAMP,ContextTokens,GeneratedTokens\n${lines.join('\n')}\n`), 1, 1);
    assert.equal(workload.at.length, 300_000);
  });

  for (const [what, name, text, message] of [
    ['no request', 'a.csv', 'TIMESTAMP,ContextTokens,GeneratedTokens\n', 'a.csv: there is no request in it; each is a line of its own'],
    ['nothing at all', 'a.jsonl', '\n', 'a.jsonl: there is no request in it; each is a line of its own'],
    [
      'a column too few',
      'a.csv',
      'TIMESTAMP,ContextTokens\n1,2\n',
      'a.csv:1: column GeneratedTokens is missing; the first line has to name TIMESTAMP, ContextTokens and GeneratedTokens, and names TIMESTAMP, ContextTokens',
    ],
    [
      'a time that is none, after an empty line',
      'a.csv',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n\n1,2,3\n\nyesterday,2,3\n',
      'a.csv:5: TIMESTAMP: "yesterday" is neither seconds nor a date and time in UTC; write 12.5 or 2023-11-16 18:17:03.98',
    ],
    [
      'a month that is none',
      'a.csv',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n2023-13-16 18:17:03,2,3\n',
      'a.csv:2: TIMESTAMP: "2023-13-16 18:17:03" is neither seconds nor a date and time in UTC; write 12.5 or 2023-11-16 18:17:03.98',
    ],
    [
      'a row too short',
      'a.csv',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n1,2\n',
      'a.csv:2: GeneratedTokens: null is not a number of tokens; write a whole number, 0 or more',
    ],
    [
      'tokens below zero',
      'a.csv',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n1,-2,3\n',
      'a.csv:2: ContextTokens: "-2" is not a number of tokens; write a whole number, 0 or more',
    ],
    [
      'an open quote',
      'a.csv',
      'TIMESTAMP,ContextTokens,GeneratedTokens\n1,"2,3\n',
      /^a\.csv:\d: not CSV: .*; write the numbers without quotes$/,
    ],
    [
      'a line that is no JSON',
      'a.jsonl',
      `${mooncake}TIMESTAMP,ContextTokens\n`,
      'a.jsonl:3: not JSON; a trace is one object a line, or a file that ends in .csv',
    ],
    ['a list', 'a.jsonl', '[1, 2]\n', 'a.jsonl:1: not a JSON object; a trace is one object a line, or a file that ends in .csv'],
    [
      'a time as text',
      'a.jsonl',
      `\n${mooncake.replace('3052', '"3052"')}`,
      'a.jsonl:3: timestamp: "3052" is not a number; write milliseconds',
    ],
    ['no time', 'a.jsonl', '{"input_tokens": 1, "output_tokens": 2}', 'a.jsonl:1: timestamp: null is not a number; write seconds'],
    [
      'tokens left out',
      'a.jsonl',
      serveGen.replace(', "output_tokens": 1527', ''),
      'a.jsonl:3: output_tokens: null is not a number of tokens; write a whole number, 0 or more',
    ],
    [
      'half a token',
      'a.jsonl',
      mooncake.replace('490', '490.5'),
      'a.jsonl:2: output_length: 490.5 is not a number of tokens; write a whole number, 0 or more',
    ],
  ] as const)
    it(`is refused with ${what}: line, field and fix are named`, () => {
      assert.throws(
        () => parseTrace(text, name),
        (error: unknown) => {
          assert.ok(error instanceof TraceError);
          if (message instanceof RegExp) assert.match(error.message, message);
          else assert.equal(error.message, message);
          return true;
        },
      );
    });

  it('is refused when it spans more than two weeks, as one in the wrong unit does', () => {
    const text =
      '{"timestamp": 0, "input_tokens": 1, "output_tokens": 2}\n{"timestamp": 1700000000, "input_tokens": 1, "output_tokens": 2}\n';
    assert.throws(
      () => traceWorkload(file('milliseconds.jsonl', text), 1, 1),
      /it spans 19676 days; at most 14 are replayed: cut it, or correct the unit of its times$/,
    );
  });

  describe('given to the benchmark', function () {
    this.timeout(120_000);
    const bench = (...args: readonly string[]) =>
      spawnSync(process.execPath, ['bench/autoscaler.ts', ...args], { cwd: root, encoding: 'utf8' });

    it('is replayed through every policy', () => {
      const minutes = Array.from({ length: 900 }, (_, index) => `${index / 3},${(index * 37) % 900},${200 + ((index * 53) % 900)}`);
      const trace = file('minutes.csv', `TIMESTAMP,ContextTokens,GeneratedTokens\n${minutes.join('\n')}\n`);
      const { stdout, stderr, status } = bench('--trace', trace, '--copies', '2', '--seeds', '1,2');
      assert.match(
        stdout,
        /^minutes\.csv, seed 2: 1800 requests in 0\.2 h; \d+ replicas for the mean, \d+ for the highest minute$/m,
        stderr,
      );
      for (const policy of ['r2r', 'hpa-queue', 'kpa-knative', 'kpa-aibrix', 'static-mean', 'static-peak'])
        assert.match(stdout, new RegExp(`^${policy} +[\\d.]+ +[\\d.]+ % +[\\d.]+ % +[\\d.]+ +\\d+$`, 'm'));
      const [, met] = /^(met|missed) +minutes\.csv: dominated by/m.exec(stdout) ?? [];
      assert.equal(status, met === 'met' ? 0 : 1);
    });

    it('is refused in one line when it cannot be read or replayed', () => {
      const missing = bench('--trace', join(folder, 'none.csv'));
      assert.match(missing.stderr, /^--trace: .*none\.csv: it cannot be read \(ENOENT.*\); --trace takes the path of a file\n$/);
      const broken = bench('--trace', file('broken.jsonl', '{"timestamp": "now"}\n'));
      assert.match(broken.stderr, /^--trace: .*broken\.jsonl:1: timestamp: "now" is not a number; write seconds\n$/);
      assert.deepEqual([missing.status, broken.status], [2, 2]);
    });
  });
});
