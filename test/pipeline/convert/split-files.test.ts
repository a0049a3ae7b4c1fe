import assert from 'node:assert/strict';
import { PipelineError } from '../../../src/pipeline/errors.ts';
import { filesOfSplit } from '../../../src/pipeline/convert/split-files.ts';
import { matchesPattern } from '../../../src/pipeline/convert/path-pattern.ts';
import { datasetEntrySchema } from '../../../src/pipeline/params.ts';

const card = (matter: string): string => `---\n${matter}\n---\n# Card\n`;
const find = (paths: readonly string[], more = {}, text?: string): readonly string[] => {
  const entry = datasetEntrySchema.parse({ name: 'set', path: 'hf://datasets/org/repo', question: { field: 'q' }, ...more });
  return filesOfSplit([...paths].sort(), text, entry).map(({ path }) => path);
};

describe('files of a split', () => {
  const cases: readonly (readonly [
    name: string,
    paths: readonly string[],
    more: object,
    text: string | undefined,
    found: readonly string[],
  ])[] = [
    ['one file is train', ['README.md', 'problems.csv'], {}, undefined, ['problems.csv']],
    [
      'numbered files',
      ['data/train-00001-of-00002.parquet', 'data/train-00000-of-00002.parquet', 'data/test-00000-of-00001.parquet'],
      {},
      undefined,
      ['data/train-00000-of-00002.parquet', 'data/train-00001-of-00002.parquet'],
    ],
    [
      'numbered files with a digest',
      ['data/train-00000-of-00001-0a1b.parquet', 'x.csv'],
      {},
      undefined,
      ['data/train-00000-of-00001-0a1b.parquet'],
    ],
    [
      'a split of any name',
      ['data/holdout-00000-of-00001.parquet'],
      { split: 'holdout' },
      undefined,
      ['data/holdout-00000-of-00001.parquet'],
    ],
    ['a word of the file', ['my_train.jsonl', 'my_dev.jsonl'], { split: 'validation' }, undefined, ['my_dev.jsonl']],
    ['a word of the folder', ['train/a.csv', 'train/b.csv', 'test/a.csv'], {}, undefined, ['train/a.csv', 'train/b.csv']],
    ['no word within a word', ['constraints.csv', 'latest.csv'], {}, undefined, ['constraints.csv', 'latest.csv']],
    ['the format of most files', ['train.parquet', 'train-a.csv', 'train-b.csv'], {}, undefined, ['train-a.csv', 'train-b.csv']],
    ['Parquet among as many', ['train.parquet', 'train.csv'], {}, undefined, ['train.parquet']],
    ['the format that is asked for', ['train.parquet', 'train.csv'], { format: 'csv' }, undefined, ['train.csv']],
    ['a subset that is a folder', ['a/train.csv', 'b/train.csv'], { subset: 'b' }, undefined, ['b/train.csv']],
    ['a subset that is a file', ['gpqa_main.csv', 'gpqa_extended.csv'], { subset: 'gpqa_extended' }, undefined, ['gpqa_extended.csv']],
    ['the one subset of a card', ['x.csv', 'y.csv'], {}, card('configs:\n- config_name: a\n  data_files: y.csv'), ['y.csv']],
    [
      'the default subset of a card',
      ['x.csv', 'y.csv'],
      {},
      card('configs:\n- config_name: a\n  data_files: y.csv\n- config_name: b\n  default: true\n  data_files: x.csv'),
      ['x.csv'],
    ],
    [
      'splits of a card',
      ['a/x.csv', 'a/y.csv', 'b.csv'],
      { split: 'test' },
      card('configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: b.csv\n  - split: test\n    path:\n    - a/*.csv'),
      ['a/x.csv', 'a/y.csv'],
    ],
    [
      'splits of a card by name',
      ['x.csv', 'y.csv'],
      {},
      card('configs:\n- config_name: default\n  data_files:\n    train: x*\n    test: y*'),
      ['x.csv'],
    ],
    [
      'a folder of a card',
      ['a/train.csv', 'b/train.csv'],
      { subset: 'b' },
      card('configs:\n- config_name: a\n  data_dir: a\n- config_name: b\n  data_dir: ./b/'),
      ['b/train.csv'],
    ],
    ['a card that is to be understood by nobody', ['x.csv'], {}, card('configs: {{'), ['x.csv']],
    ['a card that says nothing of files', ['x.csv'], {}, card('license: mit'), ['x.csv']],
  ];
  for (const [name, paths, more, text, found] of cases)
    it(`are found: ${name}`, () => {
      assert.deepEqual(find(paths, more, text), found);
    });

  it('that are not there are refused with what there is', () => {
    const refused = (finding: () => unknown, message: RegExp): void => {
      assert.throws(finding, (error) => error instanceof PipelineError && error.code === 'PIPELINE_SOURCE' && message.test(error.message));
    };
    refused(() => find(['train.csv', 'test.csv'], { split: 'dev' }), /split dev: .* there are: test, train; correct split/);
    refused(() => find(['a/train.csv', 'b/train.csv'], { subset: 'c' }), /subset c: .* there are: a, b/);
    refused(() => find(['model.bin']), /has no Parquet, JSON Lines or CSV file, but model.bin/);
    refused(() => find(['train.csv'], { format: 'parquet' }), /has no parquet file, but train.csv/);
    refused(() => find(['x.csv'], {}, card('configs:\n- config_name: default\n  data_files: y*')), /split train: .* there are: none/);
  });
});

describe('patterns of a card', () => {
  const cases: readonly (readonly [pattern: string, path: string, matches: boolean])[] = [
    ['data/*.csv', 'data/a.csv', true],
    ['data/*.csv', 'data/a/b.csv', false],
    ['**/*.csv', 'b.csv', true],
    ['**/*.csv', 'x/y/b.csv', true],
    ['data/**', 'data/x/y', true],
    ['data/', 'data/x', true],
    ['data', 'data/x/y', true],
    ['data', 'database/x', false],
    ['./a-?.csv', 'a-1.csv', true],
    ['a-[0-9].csv', 'a-7.csv', true],
    ['a-[!0-9].csv', 'a-7.csv', false],
    ['*a*b*c', 'xxaxxbxxbxc', true],
    ['*a*b*c', 'xxaxxbxxbxd', false],
    ['a.csv', 'aXcsv', false],
  ];
  for (const [pattern, path, matches] of cases)
    it(`${pattern} ${matches ? 'is' : 'is not'} ${path}`, () => {
      assert.equal(matchesPattern(path, pattern), matches);
    });

  it('take no time however they are written', () => {
    const begin = performance.now();
    assert.equal(matchesPattern('a'.repeat(1000), `${'*a'.repeat(200)}b`), false);
    assert.equal(matchesPattern('a/'.repeat(400) + 'c', `${'**/a/'.repeat(100)}b`), false);
    assert.ok(performance.now() - begin < 1000);
  });
});
