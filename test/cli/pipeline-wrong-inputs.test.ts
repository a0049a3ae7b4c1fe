import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readTermination } from '../../src/controllers/router/termination.ts';
import type { StepName, StepSpec } from '../../src/pipeline/step-identity.ts';
import type { ProgressReport } from '../../src/pipeline/progress.ts';
import { cleanWorkspace } from '../../src/pipeline/workspace/clean.ts';
import { Workspace } from '../../src/pipeline/workspace/workspace.ts';
import { trainerEnv, trainerFolder, trainerPython } from '../pipeline/bundle/trained-workspace.ts';
import { models } from '../pipeline/continue/tiny-run.ts';
import { DatasetHub } from '../pipeline/convert/dataset-hub.ts';
import { leftovers } from '../pipeline/files.ts';
import { silentLog } from '../pipeline/toy-steps.ts';
import { PipelineProcesses, type LastWords } from './pipeline-processes.ts';

const main = join(import.meta.dirname, '../../src/cli/main.ts');
const questions = 10;
const problems = readFileSync(join(models, 'problems/train.jsonl'), 'utf8')
  .split('\n')
  .slice(0, questions)
  .map((line) => `${line}\n`)
  .join('');

/** What goes wrong with a step's process: how it says so, and that the step goes on where it was once it has been put right. */
describe('a step of r2r pipeline, of wrong inputs', function () {
  this.timeout(120_000);
  let processes: PipelineProcesses;
  const children = new Set<ChildProcess>();
  before(async () => {
    processes = await PipelineProcesses.start(questions);
  });
  afterEach(() => {
    for (const child of children) child.kill('SIGKILL');
    children.clear();
  });
  after(() => processes[Symbol.asyncDispose]());
  const retries = (count: number) => ['--max-retries', String(count)];

  /** The conversion of a data set of another place. */
  function converting(path: string): StepSpec {
    const spec = processes.specOf('convert');
    const [entry] = spec.params['datasets'] as readonly object[];
    return { ...spec, params: { ...spec.params, datasets: [{ ...entry, path }] } };
  }

  describe('convert', () => {
    const noServers: readonly string[] = [];

    it('whose data set is missing names it, and goes on when it is there', async () => {
      const workspace = processes.before('convert', 'missing');
      const path = join(processes.folder, 'missing.jsonl');
      const words = await processes.refused(workspace, converting(path), noServers, 3);
      assert.deepEqual([words.code, words.field, words.retryable], ['PIPELINE_SOURCE', 'path', false]);
      assert.ok(words.message?.startsWith('step convert, shard 0') && words.message.includes(path), words.message);
      writeFileSync(path, problems);
      await processes.done(workspace, converting(path), noServers);
    });

    it('whose column is called otherwise names the column and those that there are, and goes on when it is right', async () => {
      const workspace = processes.before('convert', 'column');
      const path = join(processes.folder, 'column.jsonl');
      writeFileSync(path, problems.replaceAll('"question":', '"problem":'));
      const words = await processes.refused(workspace, converting(path), noServers, 3);
      assert.deepEqual([words.code, words.field, words.retryable], ['PIPELINE_COLUMN', 'question', false]);
      assert.match(words.message ?? '', /step convert, shard 0.*problem/s);
      writeFileSync(path, problems);
      await processes.done(workspace, converting(path), noServers);
    });

    it('whose hub is away says that it may pass, and goes on when it answers, though slowly', async () => {
      const workspace = processes.before('convert', 'hub');
      const hub = await new DatasetHub().start();
      hub.commit('org/problems', { 'train.jsonl': problems });
      const spec = converting('hf://datasets/org/problems');
      const at = (url: string) => ['--hf-endpoint', url, '--cache', join(processes.folder, 'hub-cache')];
      try {
        const words = await processes.refused(workspace, spec, at('http://127.0.0.1:9'), 1);
        assert.deepEqual([words.code, words.retryable], ['PIPELINE_SOURCE', true]);
        assert.match(words.message ?? '', /step convert, shard 0.*127\.0\.0\.1:9/s);
        let answered = 0;
        const slow = createServer((request, response) => {
          void sleep(700)
            .then(() => fetch(`${hub.url}${request.url}`, { method: request.method ?? 'GET', redirect: 'manual' }))
            .then(async (answer) => {
              answered++;
              response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(Buffer.from(await answer.arrayBuffer()));
            });
        }).listen(0, '127.0.0.1');
        await once(slow, 'listening');
        try {
          await processes.done(workspace, spec, at(`http://127.0.0.1:${(slow.address() as AddressInfo).port}`));
          assert.ok(answered >= 3, `${answered} answers were late`);
        } finally {
          slow.close();
          slow.closeAllConnections();
        }
      } finally {
        await hub.stop();
      }
    });
  });

  it('respond with a tokenizer of another family names the models, and goes on with the right one', async () => {
    const workspace = processes.before('respond', 'family');
    const other = join(processes.folder, 'other-family');
    cpSync(join(models, 'llm'), other, { recursive: true });
    const tokenizer = join(other, 'tokenizer.json');
    writeFileSync(tokenizer, readFileSync(tokenizer, 'utf8').replace('"<|im_end|>"', '"<|the_end|>"'));
    const spec = processes.specOf('respond');
    const words = await processes.refused(workspace, spec, processes.servers({ llm: { folder: other } }), 3);
    assert.deepEqual([words.code, words.field, words.retryable], ['PIPELINE_MODEL', 'models', false]);
    assert.match(words.message ?? '', /^step respond, shard 0: .*two families.*im_end/);
    await processes.done(workspace, spec);
    processes.assertSame(workspace, 'respond');
  });

  it('verify with a verifier that answers nonsense names maxUnknownShare and an answer, and goes on with one that does not', async () => {
    const workspace = processes.before('verify', 'nonsense');
    const spec = processes.specOf('verify');
    const { url } = processes.engines.llm;
    const words = await processes.refused(workspace, spec, processes.servers({ verifier: { url, folder: join(models, 'llm') } }), 3);
    assert.deepEqual([words.code, words.field, words.retryable], ['PIPELINE_VERIFIER', 'params.maxUnknownShare', false]);
    assert.match(
      words.message ?? '',
      /^step verify, shard 0: .*neither 0 nor 1 for \d+ of \d+ comparisons.*5 %.*it answered, for example, "/,
    );
    await processes.done(workspace, spec);
    processes.assertSame(workspace, 'verify');
    assert.deepEqual(leftovers(workspace), []);
  });

  for (const step of ['respond', 'prefill', 'continue', 'verify'] as const)
    it(`${step} whose server is away names it, and goes on when it is there`, async () => {
      const workspace = processes.before(step, `away-${step}`);
      const role = step === 'prefill' ? 'slm' : step === 'verify' ? 'verifier' : 'llm';
      const spec = processes.specOf(step);
      const away = [...processes.servers({ [role]: { url: 'http://127.0.0.1:9' } }), ...retries(0)];
      const words = await processes.refused(workspace, spec, away, 1);
      assert.deepEqual([words.code, words.field, words.retryable], ['PIPELINE_ENGINE', `engines.${role}`, true]);
      assert.match(words.message ?? '', new RegExp(`^step ${step}, shard 0: .*127\\.0\\.0\\.1:9`));
      await processes.done(workspace, spec);
      processes.assertSame(workspace, step);
    });

  it('respond whose server dies on the way says so, and asks another one only for what was not answered', async () => {
    const workspace = processes.before('respond', 'dies');
    const spec = processes.specOf('respond');
    const engine = await startEngine();
    const flags = [...processes.servers({ llm: { url: engine.url } }), '--concurrency', '2', ...retries(0)];
    const running = processes.start(workspace, spec, flags);
    const status = await statusOf(running.child);
    const progress = async () => (await (await fetch(`${status}/progress`)).json()) as ProgressReport;
    while ((await progress()).done < 3) await sleep(20);
    engine.child.kill('SIGKILL');
    const { code, stderr } = await running.ended;
    assert.equal(code, 1, stderr);
    const words = running.words();
    assert.deepEqual(
      [words.code, words.step, words.shard, words.field, words.retryable],
      ['PIPELINE_ENGINE', 'respond', 0, 'engines.llm', true],
    );
    const again = processes.start(workspace, spec);
    const { code: done, stdout } = await again.ended;
    assert.equal(done, 0, stdout);
    const reports = [...stdout.matchAll(/"resumed":(\d+)/g)].map(([, count]) => Number(count));
    assert.ok(Math.max(...reports) >= 3, `${Math.max(...reports)} answers were found`);
    processes.assertSame(workspace, 'respond');
    assert.deepEqual(leftovers(workspace), []);
  });

  it('on a full disk says so, and goes on when there is room', async function () {
    if (process.getuid?.() !== 0) this.skip();
    const spec = processes.specOf('prefill');
    const workspace = processes.before('prefill', 'full');
    // a file system of its own, seen by these processes only and gone with them
    const mounted = join(processes.folder, 'small-disk');
    mkdirSync(mounted);
    const script = [
      'mount -t tmpfs -o size="$SIZE" tmpfs "$1" && cp -r "$2"/. "$1"/ || exit 99',
      'from="$2"; disk="$1"; shift 2',
      '"$@"; echo "first $?"; cp "$WORDS" "$WORDS.first"',
      'mount -o remount,size=64m "$disk" || exit 98',
      '"$@"; code=$?; cp -r "$disk"/. "$from"/; exit $code',
    ].join('\n');
    const size = sizeOf(workspace) + 96 * 1024;
    const wrap = ['env', `SIZE=${size}`, `WORDS=${workspace}.words`, 'unshare', '--mount', 'sh', '-c', script, 'sh', mounted, workspace];
    const running = processes.start(workspace, spec, [...processes.servers(), '--workspace', mounted], wrap);
    const { code, stdout, stderr } = await running.ended;
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^first 1$/m);
    const words = JSON.parse(readFileSync(`${workspace}.words.first`, 'utf8')) as ReturnType<typeof running.words>;
    assert.deepEqual([words.code, words.step, words.shard, words.retryable], ['PIPELINE_NO_SPACE', 'prefill', 0, true]);
    assert.ok(words.file?.startsWith(mounted), words.file);
    assert.match(words.message ?? '', /the workspace is full; enlarge its claim or remove old steps/);
    processes.assertSame(workspace, 'prefill');
    assert.deepEqual(leftovers(workspace), []);
  });

  const readers: readonly (readonly [reader: StepName, faulty: StepName])[] = [
    ['respond', 'convert'],
    ['prefill', 'respond'],
    ['continue', 'prefill'],
    ['verify', 'continue'],
    ['construct', 'verify'],
  ];
  for (const [reader, faulty] of readers)
    it(`${reader} that finds a part of ${faulty} damaged names it, and ${faulty} makes that part again and no other`, async () => {
      const workspace = processes.before(reader, `damaged-${faulty}`);
      const data = join(workspace, processes.folderOf(faulty), 'data');
      const names = readdirSync(data);
      const file = join(data, names[0] ?? assert.fail());
      const bytes = readFileSync(file);
      bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(file, bytes);
      const words = await processes.refused(workspace, processes.specOf(reader), processes.servers(), 1);
      assert.deepEqual([words.code, words.faultyStep, words.file, words.retryable], ['PIPELINE_PART_CORRUPT', faulty, file, true]);
      assert.match(words.message ?? '', new RegExp(`^step ${faulty}, shard 0, .*; run step ${faulty} again`));
      const others = names.slice(1).map((name) => join(data, name));
      const before = others.map((name) => statSync(name).ino);
      await processes.done(workspace, processes.specOf(faulty));
      processes.assertSame(workspace, faulty);
      assert.deepEqual(
        others.filter((name, index) => statSync(name).ino !== before[index]).map((name) => partOf(name)),
        others.filter((name) => partOf(name) === partOf(file)).map((name) => partOf(name)),
      );
      await processes.done(workspace, processes.specOf(reader));
      processes.assertSame(workspace, reader);
    });

  describe('train', () => {
    let python: string;
    before(async function () {
      this.timeout(600_000);
      python = await trainerPython();
    });

    /** A workspace with a label set, and the trainer in it as in its Job. */
    function training(name: string): { readonly folder: string; readonly train: () => Promise<{ code: number | null; words: LastWords }> } {
      const workspace = processes.before('construct', name);
      const folder = join(workspace, processes.folderOf('construct'));
      cpSync(join(processes.whole, processes.folderOf('construct')), folder, { recursive: true });
      const [hash, words] = ['1b'.repeat(8), `${workspace}.train-words`];
      const flags = [
        ...['--data', join(folder, 'data'), '--out', join(workspace, `train-${hash}`), '--slm', join(models, 'slm'), '--device', 'cpu'],
        ...['--hidden-dims', '8', '--set', 'training.params.num_epochs=1', '--owner', 'team/math', '--hash', hash],
        ...['--termination-log', words],
      ];
      const train = async () => {
        const child = spawn(python, ['-m', 'r2r_trainer', ...flags], { cwd: trainerFolder, env: trainerEnv });
        children.add(child);
        const [code] = (await once(child, 'close')) as [number | null];
        return { code, words: JSON.parse(readFileSync(words, 'utf8')) as LastWords };
      };
      return { folder, train };
    }

    it('that finds a part of construct damaged names it, construct makes that part again and no other, and it trains', async () => {
      const { folder, train } = training('train-damaged');
      const workspace = dirname(folder);
      const [first, second] = readdirSync(join(folder, 'data')).map((name) => join(folder, 'data', name));
      assert.ok(first !== undefined && second !== undefined);
      const bytes = readFileSync(first);
      bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(first, bytes);
      const { code, words } = await train();
      assert.deepEqual([code, words.code, words.faultyStep, words.field], [1, 'PIPELINE_PART_CORRUPT', 'construct', first]);
      assert.ok(readTermination(JSON.stringify(words)));
      const { ino } = statSync(second);
      await processes.done(workspace, processes.specOf('construct'));
      processes.assertSame(workspace, 'construct');
      assert.equal(statSync(second).ino, ino);
      assert.equal((await train()).code, 0);
      const marked = await new Workspace(workspace).marks(folder);
      assert.deepEqual(
        marked.map(({ name }) => name),
        ['team.math'],
      );
    });

    it('that finds nothing of construct names it, its folder can be cleaned up, and it trains when that is made again', async () => {
      const { folder, train } = training('train-lost');
      const policy = { owner: { namespace: 'team', name: 'math' }, keep: 0, current: [] };
      rmSync(folder, { recursive: true });
      const { code, words } = await train();
      assert.deepEqual([code, words.code, words.faultyStep], [2, 'PIPELINE_INPUT_MISSING', 'construct']);
      const cleaned = await cleanWorkspace(dirname(folder), policy, { log: silentLog, signal: new AbortController().signal });
      assert.deepEqual(
        cleaned.map(({ step }) => step),
        ['train'],
      );
      await processes.done(dirname(folder), processes.specOf('construct'));
      processes.assertSame(dirname(folder), 'construct');
      assert.equal((await train()).code, 0);
    });
  });

  /** `part-00000` of `part-00000-finished.parquet` */
  const partOf = (path: string): string => /part-\d+/.exec(path)?.[0] ?? path;

  async function startEngine(): Promise<{ readonly child: ChildProcess; readonly url: string }> {
    const child = spawn(process.execPath, [main, 'engine', '--model-path', join(models, 'llm'), '--port', '0']);
    children.add(child);
    const url = await saying(child, /"engine ready","url":"([^"]+)"/);
    return { child, url };
  }

  const statusOf = (child: ChildProcess): Promise<string> => saying(child, /"status":"([^"]+)"/);
});

/** What a process says. */
async function saying(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        const found = pattern.exec(text)?.[1];
        if (found !== undefined) resolve(found);
      });
    void once(child, 'close').then(() => reject(new Error(`it ended and had not said ${pattern.source}: ${text}`)));
  });
}

/** Pages that a folder's files fill in a file system in memory. */
function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => Math.ceil(statSync(join(folder, name)).size / 4096) * 4096)
    .reduce((sum, size) => sum + size, 0);
}
