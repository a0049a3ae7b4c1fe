import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProgressReport } from '../../src/pipeline/progress.ts';
import type { EngineRole } from '../../src/pipeline/step.ts';
import type { LabelReport } from '../../src/pipeline/report/report.ts';
import { models, startTinyEngines, tinyParams, type Engines } from '../pipeline/continue/tiny-run.ts';
import { finishedFiles, leftovers, temporaryFolder } from '../pipeline/files.ts';

const main = join(import.meta.dirname, '../../src/cli/main.ts');
const params = { ...tinyParams('train', 6), construct: { validationShare: 0.2, testShare: 0.2 } };

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface ShownStep {
  readonly step: string;
  readonly hash: string;
  readonly done: boolean;
  readonly digest: string;
  readonly inputs: Readonly<Record<string, { readonly hash: string; readonly digest: string }>>;
}

describe('r2r pipeline', function () {
  this.timeout(60_000);
  let folder: string;
  let whole: string;
  let paramsFile: string;
  let engines: Engines;
  let close: () => Promise<void>;
  let printed: Ended;

  before(async () => {
    folder = temporaryFolder();
    whole = join(folder, 'whole');
    paramsFile = join(folder, 'params.json');
    writeFileSync(paramsFile, JSON.stringify(params));
    ({ engines, close } = await startTinyEngines());
    printed = await run('all', '--workspace', whole, '--owner', 'team/tiny', '--params', paramsFile, ...servers());
  });
  after(async () => {
    await close();
    rmSync(folder, { recursive: true });
  });

  /** Flags for these servers and their models. */
  const servers = (roles: readonly EngineRole[] = ['slm', 'llm', 'verifier']) =>
    roles.flatMap((role) => ['--engine', `${role}=${engines[role].url}`, '--model', `${role}=${join(models, role)}`]);

  function start(
    environment: NodeJS.ProcessEnv,
    args: readonly string[],
  ): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
    const child = spawn(process.execPath, [main, 'pipeline', ...args], { env: { ...process.env, ...environment } });
    const output = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) child[stream].on('data', (chunk: Buffer) => (output[stream] += chunk.toString()));
    return { child, ended: once(child, 'close').then(([code]) => ({ code: code as number | null, ...output })) };
  }
  const run = (...args: readonly string[]): Promise<Ended> => start({}, args).ended;

  async function steps(workspace: string): Promise<readonly ShownStep[]> {
    const { stdout } = await run('show', '--workspace', workspace, '--json');
    return JSON.parse(stdout) as readonly ShownStep[];
  }

  /** A finished step's specification, as the operator writes it. */
  function specFile(step: string): { readonly path: string; readonly folder: string } {
    const name = readdirSync(whole).find((each) => each.startsWith(`${step}-`)) ?? assert.fail(step);
    return { path: join(whole, name, 'step.json'), folder: name };
  }

  function without(workspace: string, ...removed: readonly string[]): string {
    cpSync(whole, workspace, { recursive: true });
    for (const name of readdirSync(workspace))
      if (removed.some((step) => name.startsWith(`${step}-`))) rmSync(join(workspace, name), { recursive: true });
    return workspace;
  }

  const output = (workspace: string) =>
    Object.fromEntries(Object.entries(finishedFiles(workspace)).filter(([name]) => /\/(data\/|manifest)/.test(name)));

  it('all: from questions to a label set, with a line for each step', async () => {
    assert.equal(printed.code, 0, printed.stderr);
    const lines = printed.stdout.trim().split('\n');
    assert.deepEqual(
      lines.map((line) => line.split(' ', 1)[0]),
      ['convert', 'respond', 'prefill', 'continue', 'verify', 'construct'],
    );
    assert.match(lines[0] ?? '', /questions 6/);
    assert.match(lines[5] ?? '', /divergent [1-9]\d*, identical \d{3,}, neutral [1-9]/);
    const shown = await steps(whole);
    assert.ok(shown.length === 6 && shown.every(({ done }) => done));
  });

  it('show: the same lines with sizes and owners, other things that are there, and the sum', async () => {
    const workspace = without(join(folder, 'shown'), 'construct');
    const train = `train-${'0'.repeat(16)}`;
    mkdirSync(join(workspace, train));
    writeFileSync(join(workspace, train, 'router.pt'), 'x'.repeat(3 * 2 ** 20));
    mkdirSync(join(workspace, 'store'));
    writeFileSync(join(workspace, 'store', 'bundle'), 'x'.repeat(512));
    rmSync(join(workspace, specFile('verify').folder, 'manifest.json'));
    const { code, stdout, stderr } = await run('show', '--workspace', workspace);
    assert.equal(code, 0, stderr);
    const lines = stdout.trim().split('\n');
    const [size, used] = [' +[0-9.]+ (B|KiB|MiB)', '  team/tiny \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\dZ'];
    for (const [index, line] of printed.stdout.trim().split('\n').slice(0, 4).entries()) {
      const [, head = '', tail = ''] = /^(.{27})(.*)$/.exec(line) ?? [];
      assert.match(lines[index] ?? '', new RegExp(`^${head}${size}${used}${tail}$`));
    }
    assert.match(lines[4] ?? '', new RegExp(`^verify {5}[0-9a-f]{16}${size}${used}  not done, 1 part so far$`));
    assert.deepEqual(
      lines.slice(5, 7).map((line) => line.replaceAll(/ +/g, ' ')),
      [`train ${'0'.repeat(16)} 3.0 MiB no router`, 'other store 512 B'],
    );
    assert.match(lines[7] ?? '', /^in all +3\.\d MiB$/);
    assert.equal((await run('show', '--workspace', join(folder, 'nowhere'))).stdout, `${join(folder, 'nowhere')} holds no step\n`);
  });

  it('clean: removes what a router needs no more, and says what', async () => {
    const workspace = without(join(folder, 'cleaned'));
    const clean = ['clean', '--workspace', workspace, '--owner'];
    assert.equal((await run(...clean, 'team/tiny', '--keep', '1')).stdout, 'nothing is to be removed\n');
    assert.deepEqual(JSON.parse((await run(...clean, 'team/other', '--keep', '0', '--json')).stdout), []);
    const construct = specFile('construct').folder;
    const { code, stdout, stderr } = await run(...clean, 'team/tiny', '--keep', '0', '--current', construct.slice(-16));
    assert.equal(code, 0, stderr);
    const lines = stdout.trim().split('\n');
    assert.ok(lines.length === 5 && lines.every((line) => /^\w+ +[0-9a-f]{16} {2}removed {2}[0-9.]+ (KiB|MiB)$/.test(line)), stdout);
    assert.deepEqual(readdirSync(workspace), [construct]);
    const wrong: readonly (readonly [readonly string[], RegExp])[] = [
      [['tiny', '--keep', '1'], /--owner must be NAMESPACE\/NAME of an R2RRouter, got "tiny"/],
      [['team/tiny'], /--keep is missing/],
      [['team/tiny', '--keep', 'all'], /--keep must be a whole number/],
      [['team/tiny', '--keep', '1', '--current', 'abc'], /--current must be a step's hash/],
    ];
    for (const [args, message] of wrong) {
      const refused = await run(...clean, ...args);
      assert.equal(refused.code, 2);
      assert.match(refused.stderr, message);
    }
  });

  it('examples: prints the distribution, and examples of each class', async () => {
    const { code, stdout } = await run('examples', '--workspace', whole, '--count', '3', '--model', `slm=${join(models, 'slm')}`);
    assert.equal(code, 0);
    assert.match(stdout, /^all +6 +\d+ +\d+ \(\d\d\.\d %\) +\d+ \(\d\.\d %\) +\d+ \(\d\.\d %\) +0 \(0\.0 %\)$/m);
    assert.match(stdout, /LLM: .*<<.+>>.*\n +SLM: .*<<.+>>/);
    const { distribution, examples } = JSON.parse((await run('examples', '--workspace', whole, '--json')).stdout) as LabelReport;
    assert.equal(distribution.all.questions, 6);
    assert.equal(examples.identical.length, 20);
    assert.equal(examples.divergent.length, Math.min(20, distribution.all.divergent));
  });

  it('all: killed again and again, it goes on and leaves the same bytes', async () => {
    const workspace = join(folder, 'killed');
    const args = ['all', '--workspace', workspace, '--params', paramsFile, ...servers()];
    let kills = 0;
    // each process is killed when it has added something: so many steps, parts or answers
    for (const added of [1, 6, 3]) {
      const { child, ended } = start({}, args);
      const began = await entries(workspace);
      while (child.exitCode === null && (await entries(workspace)) < began + added) await sleep(5);
      child.kill('SIGKILL');
      if ((await ended).code === null) kills++;
    }
    assert.equal(kills, 3);
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 0, stderr);
    assert.equal(stdout, printed.stdout);
    assert.deepEqual(output(workspace), output(whole));
    assert.deepEqual(leftovers(workspace), []);
  });

  const entries = (workspace: string): Promise<number> =>
    Promise.resolve(existsSync(workspace) ? readdirSync(workspace, { recursive: true }).length : 0);

  it('run: one step as a Job does, with its last words for the operator', async () => {
    const workspace = without(join(folder, 'job'), 'construct');
    const spec = specFile('construct');
    const words = join(folder, 'termination');
    const last = ['--status-port', '0', '--termination-log', words];
    const shards = ['run', '--workspace', workspace, '--spec', spec.path, '--shards', '2', ...last];
    const first = await start({ JOB_COMPLETION_INDEX: '1' }, shards).ended;
    assert.equal(first.code, 0, first.stderr);
    assert.deepEqual(JSON.parse(readFileSync(words, 'utf8')), {
      ...{ ok: true, step: 'construct', hash: spec.folder.split('-')[1], shard: 1, sealed: false },
    });
    assert.equal((await start({ JOB_COMPLETION_INDEX: '0' }, shards).ended).code, 0);
    const { ok, sealed, digest } = JSON.parse(readFileSync(words, 'utf8')) as Record<string, unknown>;
    assert.deepEqual({ ok, sealed, digest }, { ok: true, sealed: true, digest: (await steps(whole)).at(-1)?.digest });
    assert.deepEqual(output(workspace), output(whole));
    const found = await run(...shards);
    assert.ok(found.code === 0 && found.stdout.includes('"step was done"'));
  });

  it('run: tells how far it is, and stops on SIGTERM with 143', async () => {
    const workspace = without(join(folder, 'stopped'), 'verify', 'construct');
    const words = join(folder, 'stopped-words');
    // a server that takes calls and never answers
    let asked = 0;
    const silent = createServer((request, response) => {
      if (request.url === '/generate') asked++;
      else if (request.url === '/abort_request') response.end('{}');
      else void fetch(`${engines.verifier.url}${request.url ?? ''}`).then(async (answer) => response.end(await answer.text()));
    }).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as { port: number };
    const server = ['--engine', `verifier=http://127.0.0.1:${port}`, '--model', `verifier=${join(models, 'verifier')}`];
    const args = ['run', '--workspace', workspace, '--spec', specFile('verify').path, ...server, '--concurrency', '4'];
    const { child, ended } = start({}, [...args, '--status-port', '0', '--termination-log', words]);
    try {
      const url = await new Promise<string>((resolve) => {
        let text = '';
        child.stdout?.on('data', (chunk: Buffer) => {
          text += chunk.toString();
          const found = /"status":"([^"]+)"/.exec(text)?.[1];
          if (found !== undefined) resolve(found);
        });
      });
      const deadline = Date.now() + 20_000;
      while (asked < 1 && Date.now() < deadline) await sleep(10);
      const report = (await (await fetch(`${url}/progress`)).json()) as ProgressReport;
      const { step, unit, done, callsInFlight } = report;
      assert.deepEqual({ step, unit, done }, { step: 'verify', unit: 'mismatches', done: 0 });
      assert.ok(report.total > 5 && callsInFlight > 0 && report.engineUtilisation > 0, JSON.stringify(report));
      const metrics = await (await fetch(`${url}/metrics`)).text();
      assert.match(metrics, /^r2r_pipeline_calls_in_flight\{step="verify",shard="0"\} [1-4]$/m);
      assert.match(metrics, /^r2r_pipeline_tokens_total\{step="verify",shard="0"\} 0$/m);
      assert.equal((await fetch(`${url}/healthz`)).status, 200);
      assert.equal((await fetch(`${url}/`)).status, 404);
      child.kill('SIGTERM');
      const { code } = await ended;
      assert.equal(code, 143);
      const { ok, code: why, retryable } = JSON.parse(readFileSync(words, 'utf8')) as Record<string, unknown>;
      assert.deepEqual({ ok, why, retryable }, { ok: false, why: 'PIPELINE_STOPPED', retryable: true });
    } finally {
      child.kill('SIGKILL');
      silent.close();
      silent.closeAllConnections();
    }
  });

  it('refuses what cannot be followed with 2, and what needs a person with 3, naming it', async () => {
    const words = join(folder, 'refused-words');
    const all = ['all', '--workspace', join(folder, 'refused'), '--termination-log', words];
    const wrongParams = join(folder, 'wrong.json');
    writeFileSync(wrongParams, JSON.stringify({ ...params, verify: { ...params.verify, attempts: 0 } }));
    const noJson = join(folder, 'no.json');
    writeFileSync(noJson, '{"convert": [');
    const otherModel = join(folder, 'other-model');
    cpSync(join(models, 'llm'), otherModel, { recursive: true });
    const tokenizer = join(otherModel, 'tokenizer.json');
    writeFileSync(tokenizer, readFileSync(tokenizer, 'utf8').replace('"<|im_end|>"', '"<|the_end|>"'));
    const swapped = ['--engine', `llm=${engines.llm.url}`, '--model', `llm=${otherModel}`, '--model', `slm=${join(models, 'slm')}`];
    const respond = ['run', '--workspace', without(join(folder, 'family'), 'respond'), '--spec', specFile('respond').path];
    const status = ['--status-port', '0', '--termination-log', words];
    const cases: readonly (readonly [args: readonly string[], code: number, error: string, message: RegExp])[] = [
      [[...all, '--params', paramsFile, ...servers(['slm', 'llm'])], 2, 'USAGE', /--engine verifier=URL is missing/],
      [[...all, '--params', paramsFile, '--engine', `llm=${engines.llm.url}`], 2, 'USAGE', /--model llm=FOLDER is missing/],
      [[...all, '--params', noJson, ...servers()], 2, 'USAGE', /--params .*no\.json cannot be read/],
      [[...all, '--params', wrongParams, ...servers()], 3, 'PIPELINE_PARAMS', /step verify.*params\.attempts/],
      [[...all, '--surprise'], 2, 'USAGE', /--surprise/],
      [[...respond, ...status, ...swapped], 3, 'PIPELINE_MODEL', /step respond, shard 0: .*two families.*im_end/],
      [[...respond, ...status, '--model', `slm=${join(models, 'slm')}`], 3, 'PIPELINE_PARAMS', /no llm is given/],
      [[...respond, ...status, ...swapped, '--shard-index', '2'], 2, 'USAGE', /--shard-index 2 is not below --shards 1/],
      [[...respond, ...status, '--model', `slm=${folder}/nowhere`], 3, 'MODEL_FOLDER_MISSING', /nowhere/],
    ];
    for (const [args, expected, error, text] of cases) {
      const { code, stderr } = await run(...args);
      assert.equal(code, expected, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, text);
      const left = JSON.parse(readFileSync(words, 'utf8')) as { code: string; message: string; retryable: boolean };
      assert.equal(left.code, error);
      assert.match(left.message, text);
      assert.equal(left.retryable, false);
    }
    const empty = await run('examples', '--workspace', join(folder, 'refused'));
    assert.equal(empty.code, 1);
    assert.match(empty.stderr, /holds no finished label set; run the steps through construct first/);
  });

  it('run: an engine that is away ends it with 1', async () => {
    const words = join(folder, 'away-words');
    const workspace = without(join(folder, 'away'), 'verify');
    const away = ['--engine', 'verifier=http://127.0.0.1:9', '--model', `verifier=${join(models, 'verifier')}`, '--max-retries', '0'];
    const { code, stderr } = await run(
      ...['run', '--workspace', workspace, '--spec', specFile('verify').path, ...away, '--status-port', '0', '--termination-log', words],
    );
    assert.equal(code, 1, stderr);
    const left = JSON.parse(readFileSync(words, 'utf8')) as Record<string, unknown>;
    assert.deepEqual([left['code'], left['field'], left['retryable']], ['PIPELINE_ENGINE', 'engines.verifier', true]);
  });
});
