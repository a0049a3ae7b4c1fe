import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../files.ts';
import { DatasetHub } from './dataset-hub.ts';
import { convert, refused } from './runs.ts';

const stratos = readFileSync(join(import.meta.dirname, 'files/stratos.parquet'));
const gpqa = `Record ID,Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3
r1,"Which, of these?",right,wrong 1,wrong 2,wrong 3
`;
const gpqaCard = `---
license: cc-by-4.0
configs:
- config_name: gpqa_extended
  data_files: gpqa_extended.csv
- config_name: gpqa_main
  data_files:
  - split: train
    path: "gpqa_main*.csv"
---
# Card
`;

describe('data sets on a hub', () => {
  let hub: DatasetHub;
  let folder: string;
  let workspace: string;
  beforeEach(async () => {
    hub = await new DatasetHub().start();
    folder = temporaryFolder();
    workspace = join(folder, 'workspace');
  });
  afterEach(async () => {
    await hub.stop();
    rmSync(folder, { recursive: true });
  });

  const run = (
    datasets: readonly unknown[],
    more: { readonly token?: string; readonly workspace?: string; readonly signal?: AbortSignal } = {},
  ) =>
    convert(
      more.workspace ?? workspace,
      { datasets },
      { hubEndpoint: hub.url, hubToken: more.token, cacheFolder: join(folder, 'cache') },
      more.signal,
    );
  const entry = (more = {}) => ({ name: 'set', path: 'hf://datasets/org/repo', question: { field: 'q' }, ...more });

  it('has the presets of upstream: aime, gpqa_extended, and the four of Bespoke-Stratos', async () => {
    hub.commit('di-zhang-fdu/AIME_1983_2024', {
      'AIME_Dataset_1983_2024.csv': 'ID,Year,Question,Answer\n1983-1,1983,"Find $x$, if\n$x=1$.",60\n',
    });
    hub.commit('Idavidrein/gpqa', { 'README.md': gpqaCard, 'gpqa_main.csv': 'x\n1\n', 'gpqa_extended.csv': gpqa });
    hub.tokens.set('Idavidrein/gpqa', 'secret-token');
    hub.commit('bespokelabs/Bespoke-Stratos-17k', { 'README.md': '# no front matter', 'data/train-00000-of-00001.parquet': stratos });
    const { rows } = await run(['aime', 'gpqa_extended'], { token: 'secret-token' });
    assert.deepEqual(rows[0], {
      data_id: 0,
      id: 'aime/0',
      question: 'Find $x$, if\n$x=1$.',
      source: 'hf://datasets/di-zhang-fdu/AIME_1983_2024',
      type: 'Math',
      answer: '60',
    });
    assert.match(rows[1]?.question ?? '', /^Which, of these\?\n\nA\) .+\nB\) .+\nC\) .+\nD\) .+\n\nReason first/);
    assert.equal(rows[1]?.answer, /^([A-D])\) right$/m.exec(rows[1]?.question ?? '')?.[1]);
    assert.equal(rows[1]?.type, 'QA');
    assert.ok(!hub.downloaded.includes('gpqa_main.csv'), 'only what is needed is downloaded');

    const kinds = await run(['Bespoke-Stratos-17k-Math', 'Bespoke-Stratos-17k-Code', 'Bespoke-Stratos-17k-QA']);
    assert.deepEqual(
      kinds.rows.map(({ id, type }) => [id, type]),
      [
        ['Bespoke-Stratos-17k-Math/0', 'Math'],
        ['Bespoke-Stratos-17k-Code/1', 'Code'],
        ['Bespoke-Stratos-17k-Code/3', 'Code'],
        ['Bespoke-Stratos-17k-QA/2', 'QA'],
      ],
    );
    assert.equal((await run(['Bespoke-Stratos-17k'])).rows.length, 4);
    assert.equal(hub.downloaded.filter((path) => path.endsWith('.parquet')).length, 1, 'what is in the cache is not asked for again');
  });

  it('reads the files of a split in order, of the commit that the branch was, page after page of the list', async () => {
    const part = (n: number) => `{"q":"Question ${n}?"}\n`;
    const files = Object.fromEntries([2, 0, 1].map((n) => [`data/train-0000${n}-of-00003.jsonl`, part(n)]));
    hub.commit('org/repo', { ...files, 'data/test-00000-of-00001.jsonl': part(9), '.gitattributes': '' });
    const { rows } = await run([entry({ path: 'hf://datasets/org/repo@main' })]);
    assert.deepEqual(
      rows.map(({ id, question }) => [id, question]),
      [0, 1, 2].map((n) => [`set/${n}`, `Question ${n}?`]),
    );
    assert.ok(hub.requests.filter(({ path }) => path.includes('/tree/')).length >= 3);
    assert.ok(hub.requests.every(({ path }) => !path.includes('/resolve/main/')));
  });

  it('downloads no further file than numItems needs', async () => {
    hub.commit('org/repo', { 'train-0.jsonl': '{"q":"a"}\n{"q":"b"}\n', 'train-1.jsonl': '{"q":"c"}\n' });
    await run([entry({ numItems: 2 })]);
    assert.deepEqual(hub.downloaded, ['train-0.jsonl']);
  });

  it('resumes a download that broke, and checks it against the digest that the hub lists', async () => {
    hub.commit('org/repo', { 'train.parquet': stratos });
    let cuts = 2;
    hub.intercept = ({ path, method, headers }, response) => {
      if (method !== 'GET' || !path.includes('/resolve/') || cuts-- <= 0) return false;
      const start = Number(/\d+/.exec(headers.range ?? '')?.[0] ?? 0);
      const range = { 'content-range': `bytes ${start}-${stratos.length - 1}/${stratos.length}` };
      response.writeHead(start > 0 ? 206 : 200, { 'content-length': String(stratos.length - start), ...(start > 0 && range) });
      response.write(stratos.subarray(start, start + 1000), () => response.destroy());
      return true;
    };
    const conversations = entry({ question: { conversationField: 'conversations' } });
    assert.equal((await run([conversations])).rows.length, 4);
    const ranges = hub.requests
      .filter(({ path, method }) => method === 'GET' && path.includes('/resolve/'))
      .map(({ headers }) => headers.range);
    assert.deepEqual(ranges, [undefined, 'bytes=1000-', 'bytes=2000-']);

    hub.intercept = ({ path, method }, response) => {
      if (method !== 'GET' || !path.includes('/resolve/')) return false;
      response.end(Buffer.alloc(stratos.length));
      return true;
    };
    rmSync(join(folder, 'cache'), { recursive: true });
    const other = run([{ ...conversations, name: 'other' }], { workspace: join(folder, 'other') });
    await refused(other, 'PIPELINE_SOURCE', 'data set other, split train', 'has the digest', 'step convert, shard 0');
  });

  it('goes on with what it has read when the branch has moved meanwhile, and reads again for another generation', async () => {
    const questions = (word: string) => ({ 'train.jsonl': Array.from({ length: 200 }, (_, n) => `{"q":"${word} ${n}?"}\n`).join('') });
    hub.commit('org/repo', questions('Old'));
    const whole = await run([entry()], { workspace: join(folder, 'whole') });
    await run([entry()]);
    // as after a kill: some parts are there, and the step is not done
    const step = join(workspace, `convert-${whole.manifest.hash}`);
    for (const name of ['manifest.json', 'parts/part-00001.json', 'data/part-00001.parquet', 'parts/part-00003.json'])
      rmSync(join(step, name));
    hub.commit('org/repo', questions('New'));
    const asked = hub.requests.length;
    const resumed = await run([entry()]);
    assert.equal(resumed.manifest.digest, whole.manifest.digest);
    assert.ok(resumed.rows.every(({ question }) => question.startsWith('Old')));
    assert.equal(hub.requests.length, asked, 'a step reads its sources once');
    const access = { hubEndpoint: hub.url, cacheFolder: join(folder, 'cache') };
    const again = await convert(workspace, { datasets: [entry()], generation: 1 }, access);
    assert.ok(again.rows.every(({ question }) => question.startsWith('New')));
  });

  it('says what is wrong with a repository, a revision, a subset, a split or a token', async () => {
    hub.commit('org/repo', { 'README.md': gpqaCard, 'gpqa_main.csv': 'q\n1\n', 'gpqa_extended.csv': 'q\n1\n' });
    await refused(
      run([entry({ path: 'hf://datasets/org/other' })]),
      'PIPELINE_SOURCE',
      'data set set, split train',
      'there is no such repository',
    );
    await refused(run([entry({ path: 'hf://datasets/org/repo@v2' })]), 'PIPELINE_SOURCE', 'no such revision', 'what stands behind the @');
    await refused(run([entry()]), 'PIPELINE_SOURCE', 'no subset is named', 'there are: gpqa_extended, gpqa_main');
    await refused(
      run([entry({ subset: 'x' })]),
      'PIPELINE_SOURCE',
      'subset x: there is no such subset',
      'there are: gpqa_extended, gpqa_main',
    );
    const split = entry({ subset: 'gpqa_main', split: 'test' });
    await refused(run([split]), 'PIPELINE_SOURCE', 'split test: there is no such split; there are: train');
    hub.tokens.set('org/repo', 'secret-token');
    const gated = await refused(run([entry()]), 'PIPELINE_SOURCE', 'the repository is gated', 'token');
    assert.equal(gated.retryable, false);
    const unset = convert(workspace, { datasets: [entry()] });
    await refused(unset, 'PIPELINE_SOURCE', 'which hub has hf://datasets/org/repo is not known', 'HF_ENDPOINT');
  });

  it('may pass when the hub is away, and does not take what is no hub for one', async () => {
    hub.intercept = (_, response) => {
      response.writeHead(503, { 'retry-after': '3600' }).end();
      return true;
    };
    const away = await refused(run([entry()]), 'PIPELINE_SOURCE', 'answered 503', 'run the step again');
    assert.equal(away.retryable, true);
    hub.intercept = (_, response) => {
      response.end('<html>');
      return true;
    };
    await refused(run([entry()]), 'PIPELINE_SOURCE', 'does not answer as a hub does');
    const sha = 'a'.repeat(40);
    hub.intercept = ({ path }, response) => {
      if (path.includes('/tree/')) response.setHeader('link', '<https://elsewhere.invalid/>; rel="next"');
      response.end(path.includes('/tree/') ? '[{"type":"file","path":"train.csv"}]' : JSON.stringify({ sha }));
      return true;
    };
    await refused(run([entry()]), 'PIPELINE_SOURCE', 'leads elsewhere');
    hub.intercept = ({ path }, response) => {
      response.end(path.includes('/tree/') ? '[{"type":"file","path":"../../train.csv"}]' : JSON.stringify({ sha }));
      return true;
    };
    await refused(run([entry()]), 'PIPELINE_SOURCE', 'odd name');
  });

  it('stops when it is told to', async () => {
    hub.commit('org/repo', { 'train.jsonl': '{"q":"a"}\n' });
    const stop = new AbortController();
    hub.intercept = () => {
      stop.abort(new Error('told to'));
      return true;
    };
    await refused(run([entry()], { signal: stop.signal }), 'PIPELINE_STOPPED');
  });
});
