import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { temporaryFolder } from '../files.ts';
import { convert, refused } from './runs.ts';

const lines = (...rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
const stratos = join(import.meta.dirname, 'files/stratos.parquet');
const conversation = { conversationField: 'conversations' };

describe('converting data sets', () => {
  let folder: string;
  let workspace: string;
  beforeEach(() => {
    folder = temporaryFolder();
    workspace = join(folder, 'workspace');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const file = (name: string, content: string | Buffer): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };
  const run = (...datasets: readonly unknown[]) => convert(workspace, { datasets });

  it('gives one set with numbers that go on, ids, sources and types', async () => {
    const a = file('a.jsonl', lines({ q: 'What?', a: 7 }, { q: 'Why?', a: null }));
    const b = file('b.csv', 'key,text\nx,"Who, and ""when""?\nWhere?"\ny,How?\n');
    const { rows, manifest } = await run(
      { name: 'first', path: a, question: { field: 'q' }, answerField: 'a', type: 'Math' },
      { name: 'second', path: b, question: { field: 'text' }, idField: 'key' },
    );
    assert.deepEqual(rows, [
      { data_id: 0, id: 'first/0', question: 'What?', source: a, type: 'Math', answer: '7' },
      { data_id: 1, id: 'first/1', question: 'Why?', source: a, type: 'Math', answer: '' },
      { data_id: 2, id: 'second/x', question: 'Who, and "when"?\nWhere?', source: b, type: '', answer: '' },
      { data_id: 3, id: 'second/y', question: 'How?', source: b, type: '', answer: '' },
    ]);
    assert.deepEqual(manifest.counts, { questions: 4, filtered: 0, empty: 0, duplicates: 0 });
  });

  it("reads the first turn of a role from Parquet, and tells Bespoke-Stratos' kinds apart as upstream does", async () => {
    const kinds = { math: ['s/0'], code: ['s/1', 's/3'], qa: ['s/2'] };
    for (const [bespoke, ids] of Object.entries(kinds)) {
      const { rows, manifest } = await run({ name: 's', path: stratos, question: conversation, filter: { bespoke } });
      assert.deepEqual(
        rows.map(({ id }) => id),
        ids,
      );
      assert.equal(manifest.counts['filtered'], 4 - ids.length);
    }
  });

  it('needs no filter for all of Bespoke-Stratos', async () => {
    const { rows } = await run({ name: 's', path: stratos, question: conversation });
    assert.equal(rows.length, 4);
    assert.equal(rows[2]?.question, 'Which organelle makes ATP?');
  });

  it('takes no question twice, of whichever data set: it would be trained on and tested with', async () => {
    const { rows, manifest } = await run(
      { name: 'all', path: stratos, question: conversation },
      { name: 'qa', path: stratos, question: conversation, filter: { bespoke: 'qa' } },
    );
    assert.equal(rows.length, 4);
    assert.deepEqual(manifest.counts, { questions: 4, filtered: 3, empty: 0, duplicates: 1 });
  });

  it('keeps ids apart that are row numbers of several data sets', async () => {
    const { rows } = await run(
      { name: 'a', path: file('a.jsonl', lines({ q: 'One?' })), question: { field: 'q' } },
      { name: 'b', path: file('b.jsonl', lines({ q: 'Two?' })), question: { field: 'q' } },
    );
    assert.deepEqual(
      rows.map(({ id }) => id),
      ['a/0', 'b/0'],
    );
  });

  it('keeps the id of a row whatever is filtered before it', async () => {
    const path = file('a.jsonl', lines({ q: 'One?', level: 1 }, { q: 'Two?', level: 2 }, { q: 'Three?', level: 3 }));
    const { rows } = await run({ name: 'a', path, question: { field: 'q' }, filter: { field: 'level', in: [2, 3] } });
    assert.deepEqual(
      rows.map(({ id }) => id),
      ['a/1', 'a/2'],
    );
  });

  it('never makes an empty question: rows that say nothing are left out and counted', async () => {
    const path = file('a.jsonl', lines({ q: 'One?' }, { q: '' }, { q: null }, {}, { q: '  ' }, { q: 'Two?' }));
    const { rows, manifest } = await run({ name: 'a', path, question: { field: 'q' } });
    assert.deepEqual(
      rows.map(({ question }) => question),
      ['One?', 'Two?'],
    );
    assert.equal(manifest.counts['empty'], 4);
  });

  describe('multiple choice', () => {
    const rows = Array.from({ length: 40 }, (_, n) => ({ id: `k${n}`, q: `Question ${n}?`, right: `right ${n}`, b: 'b', c: 'c', d: 'd' }));
    const entry = (path: string, seed?: number) => ({
      name: 'mc',
      path,
      idField: 'id',
      question: { multipleChoice: { questionField: 'q', optionFields: ['right', 'b', 'c', 'd'], ...(seed !== undefined && { seed }) } },
      template: '{{question}}\n{{options}}\nWhich?',
    });

    it('shuffles the options by seed and id, and knows the right letter', async () => {
      const first = await run(entry(file('a.jsonl', lines(...rows))));
      const letters = new Set<string>();
      for (const { question, answer, id } of first.rows) {
        const right = /^([A-D])\) right/m.exec(question)?.[1];
        assert.equal(answer, right, question);
        assert.match(question, /^Question \d+\?\nA\) .+\nB\) .+\nC\) .+\nD\) .+\nWhich\?$/);
        assert.match(id, /^mc\/k\d+$/);
        letters.add(answer);
      }
      assert.equal(letters.size, 4);
      // whatever stands before it
      const reversed = await run(entry(file('b.jsonl', lines(...rows.toReversed()))));
      const texts = (converted: typeof first) => new Map(converted.rows.map(({ id, question }) => [id, question]));
      assert.deepEqual([...texts(reversed)].sort(), [...texts(first)].sort());
      const other = await run(entry(file('a.jsonl', lines(...rows)), 7));
      assert.notDeepEqual(texts(other), texts(first));
    });

    it('leaves out a question with an empty option', async () => {
      const { manifest } = await run(entry(file('a.jsonl', lines(...rows, { ...rows[0], q: 'Other?', id: 'k40', c: '' }))));
      assert.deepEqual(manifest.counts, { questions: 40, filtered: 0, empty: 1, duplicates: 0 });
    });
  });

  it('fills a template once: a question that looks like a placeholder stays', async () => {
    const path = file('a.jsonl', lines({ q: 'What is {{question}} or $& here?' }));
    const { rows } = await run({ name: 'a', path, question: { field: 'q' }, template: 'Solve: {{ question }} \\boxed{{}}' });
    assert.equal(rows[0]?.question, 'Solve: What is {{question}} or $& here? \\boxed{{}}');
  });

  it('refuses templates that nothing can fill', async () => {
    const entry = { name: 'a', path: '/a.jsonl', question: { field: 'q' } };
    await refused(run({ ...entry, template: '{{question}} {{options}}' }), 'PIPELINE_PARAMS', 'params.datasets.0.template', '{{options}}');
    await refused(run({ ...entry, template: 'Hello' }), 'PIPELINE_PARAMS', 'leaves the question out');
  });

  it('takes the first questions of each data set, and of one its own number', async () => {
    const many = lines(...Array.from({ length: 10 }, (_, n) => ({ q: `Question ${n}?` })));
    const entry = (name: string, more = {}) => ({
      name,
      path: file(`${name}.jsonl`, many.replaceAll('Question', name)),
      question: { field: 'q' },
      ...more,
    });
    const { rows } = await convert(workspace, { datasets: [entry('a'), entry('b', { numItems: 1 })], numItems: 3 });
    assert.deepEqual(
      rows.map(({ id }) => id),
      ['a/0', 'a/1', 'a/2', 'b/0'],
    );
  });

  it('has the problems of the tiny models as a preset, the same on each machine', async () => {
    const { rows, manifest } = await run('tiny');
    assert.equal(rows.length, 1000);
    assert.deepEqual(rows[0], {
      data_id: 0,
      id: 'tiny/train-001',
      question: 'Start with 80. Multiply it by 6. Take away 55. Then add 19. Then multiply by 5. Which number do you get modulo 100?',
      source: 'examples/models/problems/train.jsonl',
      type: 'Math',
      answer: '20',
    });
    assert.equal(manifest.parts.length, 16);
  });

  it('reads splits of a folder, compressed files and columns by their names', async () => {
    const set = join(folder, 'set');
    mkdirSync(join(set, 'data'), { recursive: true });
    writeFileSync(join(set, 'data/train.jsonl.gz'), gzipSync(lines({ q: 'In training?' })));
    writeFileSync(join(set, 'data/test.tsv'), '\ufeffq\tother\nIn the test?\t5\n');
    const entry = { name: 'a', path: set, question: { field: 'q' } };
    assert.equal((await run(entry)).rows[0]?.question, 'In training?');
    assert.equal((await run({ ...entry, split: 'test' })).rows[0]?.question, 'In the test?');
    await refused(
      run({ ...entry, split: 'dev' }),
      'PIPELINE_SOURCE',
      'data set a, split dev',
      'there are: ',
      'train',
      'test',
      'correct split',
    );
  });

  describe('says what is wrong, where, and what to do:', () => {
    const entry = (path: string, more = {}) => ({ name: 'set', path, question: { field: 'q' }, ...more });

    it('a missing column, with those that there are', async () => {
      const expected = ['data set set, split train has no column q', 'its columns are: '] as const;
      const csv = await refused(run(entry(file('a.csv', 'x,y\n1,2\n'))), 'PIPELINE_COLUMN', ...expected, 'x, y', 'step convert, shard 0');
      assert.deepEqual([csv.field, csv.file, csv.retryable], ['q', 'a.csv', false]);
      await refused(run(entry(file('a.jsonl', lines({ x: 1 }, { y: 1 })))), 'PIPELINE_COLUMN', ...expected, 'x, y');
      await refused(run(entry(stratos)), 'PIPELINE_COLUMN', ...expected, 'system, conversations, number');
      const more = { question: { field: 'x' }, answerField: 'z' };
      await refused(run(entry(file('a.csv', 'x,y\n1,2\n'), more)), 'PIPELINE_COLUMN', 'no column z');
    });

    it('a column of another kind', async () => {
      await refused(
        run(entry(stratos, { question: { field: 'conversations' } })),
        'PIPELINE_COLUMN',
        'row 0 holds a list, and text is needed',
      );
      const path = file('a.jsonl', lines({ q: 'a' }, { q: { b: 1 } }));
      await refused(run(entry(path)), 'PIPELINE_COLUMN', 'column q of data set set, split train, row 1 holds an object');
      await refused(
        run(entry(path, { question: { conversationField: 'q' } })),
        'PIPELINE_COLUMN',
        'row 0 holds a string, and a list of turns',
      );
      const large = file('large.jsonl', '{"q":"a","id":12345678901234567890}\n');
      await refused(run(entry(large, { idField: 'id' })), 'PIPELINE_COLUMN', 'holds a number that is not exact');
    });

    it('ids that are not unique', async () => {
      const path = file('a.csv', 'q,year\nOne?,1983\nTwo?,1983\n');
      const error = await refused(
        run(entry(path, { idField: 'year' })),
        'PIPELINE_COLUMN',
        'the id set/1983',
        'column year is not unique',
        'leave it out',
      );
      assert.equal(error.field, 'year');
    });

    it('a file that is broken, with its line', async () => {
      await refused(
        run(entry(file('a.jsonl', '{"q":"a"}\n{"q":\n'))),
        'PIPELINE_SOURCE',
        'data set set, split train: line 2 is no JSON',
        'a.jsonl',
      );
      await refused(run(entry(file('b.jsonl', '[{"q":"a"},\n'))), 'PIPELINE_SOURCE', 'line 1 begins one JSON array');
      await refused(run(entry(file('c.jsonl', '7\n'))), 'PIPELINE_SOURCE', 'line 1 is no JSON object');
      await refused(run(entry(file('d.jsonl', Buffer.from('7b2271223a22ff227d', 'hex')))), 'PIPELINE_SOURCE', 'line 1 is not UTF-8');
      await refused(run(entry(file('e.csv', 'q,b\n"One?,2\n'))), 'PIPELINE_SOURCE', 'it is no CSV', 'line');
      await refused(run(entry(file('f.csv', 'q,b\n1,2,3\n'))), 'PIPELINE_SOURCE', 'it is no CSV', 'line 2');
      await refused(run(entry(file('g.csv', 'q,q\n1,2\n'))), 'PIPELINE_SOURCE', 'two columns are called "q"');
      await refused(run(entry(file('h.csv', Buffer.from('71\n', 'latin1')))), 'PIPELINE_COLUMN', 'its columns are: 71');
      await refused(run(entry(file('i.csv', Buffer.from('710aff0a', 'hex')))), 'PIPELINE_SOURCE', 'it is not UTF-8');
      await refused(
        run(entry(file('j.jsonl.gz', gzipSync(lines({ q: 'a' })).subarray(0, 20)))),
        'PIPELINE_SOURCE',
        'no whole gzip archive',
      );
      await refused(
        run(entry(file('k.parquet', 'no parquet'))),
        'PIPELINE_PARQUET',
        'data set set, split train: it cannot be read as Parquet',
      );
    });

    it('a place that is not there, or is no place', async () => {
      await refused(
        run(entry('/nowhere/a.jsonl')),
        'PIPELINE_SOURCE',
        'data set set, split train: /nowhere/a.jsonl cannot be read',
        'correct the path',
      );
      await refused(run(entry('s3://bucket/a.jsonl')), 'PIPELINE_SOURCE', 'nothing is read from s3://bucket/a.jsonl', 'hf://datasets/');
      await refused(run(entry('hf://org/repo')), 'PIPELINE_SOURCE', 'is no data set on a hub', 'hf://datasets/<org>/<repo>');
      await refused(run(entry(`${folder}/../a.jsonl`)), 'PIPELINE_SOURCE', 'has ".." in it');
      await refused(run(entry(file('README', 'x'))), 'PIPELINE_SOURCE', 'does not say what it is', 'set format to');
      const set = join(folder, 'set');
      mkdirSync(set);
      writeFileSync(join(set, 'notes.txt'), '');
      await refused(run(entry(set)), 'PIPELINE_SOURCE', 'no Parquet, JSON Lines or CSV file, but notes.txt');
      writeFileSync(join(set, 'state.json'), '{}');
      await refused(run(entry(set)), 'PIPELINE_SOURCE', 'save_to_disk', 'to_parquet');
    });

    it('claims that are not mounted, and links that lead out of one', async () => {
      const claims = { data: join(folder, 'claim') };
      mkdirSync(claims.data);
      symlinkSync(file('secret.jsonl', lines({ q: 'Secret?' })), join(claims.data, 'a.jsonl'));
      const from = (path: string) => convert(workspace, { datasets: [entry(path)] }, { claims });
      await refused(from('pvc://other/a.jsonl'), 'PIPELINE_SOURCE', 'the claim other is not mounted; those that are: data');
      await refused(from('pvc://data/a.jsonl'), 'PIPELINE_SOURCE', 'leads out of the claim');
      await refused(from('pvc://data/b.jsonl'), 'PIPELINE_SOURCE', 'cannot be read', 'check that the claim data holds it');
      writeFileSync(join(claims.data, 'c.jsonl'), lines({ q: 'Open?' }));
      assert.equal((await from('pvc://data/c.jsonl')).rows[0]?.question, 'Open?');
    });

    it('a name that is no preset, two data sets of one name, and nothing that is left', async () => {
      await refused(run('aimee'), 'PIPELINE_PARAMS', 'params.datasets.0', 'no data set preset aimee', 'aime, gpqa_extended');
      await refused(run('constructor'), 'PIPELINE_PARAMS', 'no data set preset constructor');
      await refused(run('tiny', 'tiny'), 'PIPELINE_PARAMS', 'params.datasets.1: two data sets are called tiny');
      const path = file('a.jsonl', lines({ q: 'One?' }, { q: '' }));
      const none = entry(path, { filter: { field: 'q', equals: 'Two?' } });
      await refused(run(none), 'PIPELINE_SOURCE', 'data set set, split train gives no question', '2 were filtered');
    });

    it('and leaves nothing of it that a corrected run would trip over', async () => {
      const path = file('a.jsonl', '{"q":"One?"}\n{"q":\n');
      await refused(run(entry(path)), 'PIPELINE_SOURCE', 'line 2');
      file('a.jsonl', lines({ q: 'One?' }, { q: 'Two?' }));
      assert.equal((await run(entry(path))).rows.length, 2);
      const names = readdirSync(workspace, { recursive: true, encoding: 'utf8' });
      assert.deepEqual(
        names.filter((name) => name.endsWith('.tmp')),
        [],
      );
    });
  });
});
