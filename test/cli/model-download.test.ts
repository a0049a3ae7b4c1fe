import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, request as forward } from 'node:http';
import type { AddressInfo } from 'node:net';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readTermination } from '../../src/controllers/router/termination.ts';
import { progressClient } from '../../src/controllers/router/index.ts';
import { until } from '../cluster/progress.ts';
import { HubServer, type HubFile } from '../model/fetch/hub-server.ts';
import { filesIn, repository, slowly, wantedOf } from '../model/download/models.ts';

const program = join(import.meta.dirname, '../../src/cli/main.ts');

describe('r2r model download', function () {
  this.timeout(60_000);
  let hub: HubServer;
  let root: string;
  let folder: string;
  let files: Record<string, HubFile>;
  let commit: string;
  beforeEach(async () => {
    hub = await new HubServer().start();
    root = mkdtempSync(join(tmpdir(), 'r2r-model-cli-'));
    folder = join(root, 'hub', 'org--model');
    files = repository();
    commit = hub.commit('org/model', files);
  });
  afterEach(async () => {
    await hub.stop();
    rmSync(root, { recursive: true });
  });

  const environment: Record<string, string> = {};
  function start(...flags: readonly string[]) {
    const log = join(root, 'last-words');
    const args = ['--folder', folder, '--hf-endpoint', hub.url, '--status-port', '0', '--termination-log', log, ...flags];
    const child = spawn(process.execPath, [program, 'model', 'download', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    const ended = once(child, 'close').then(([code]) => {
      const words = existsSync(log) ? readTermination(readFileSync(log, 'utf8')) : undefined;
      return { code: code as number | null, words, output };
    });
    return { child, ended, output: () => output };
  }
  const model = ['--model', 'hf://org/model@main'];

  it('ends with what the operator reads: the commit, and how much there is', async () => {
    const { code, words, output } = await start(...model).ended;
    assert.equal(code, 0, output);
    const bytes = [...wantedOf(files).values()].reduce((sum, { length }) => sum + length, 0);
    assert.deepEqual(words, {
      ok: true,
      step: 'download',
      hash: 'hf://org/model@main',
      sealed: true,
      digest: commit,
      counts: { files: 7, bytes },
    });
    assert.deepEqual(filesIn(folder), wantedOf(files));
    const again = await start(...model).ended;
    assert.deepEqual([again.code, again.words], [0, words]);
    assert.match(again.output, /the model was there/);
  });

  it('tells bytes, speed and estimate while it runs, and stops when it is told to', async () => {
    slowly(hub, 20_000, () => sleep(100, true));
    const running = start(...model);
    const port = await until('the address of its progress', 20_000, () =>
      Promise.resolve(/127\.0\.0\.1:(\d+)"[^\n]*progress is served/.exec(running.output())?.[1]),
    );
    const client = progressClient(2_000, Number(port));
    const report = await until('progress', 20_000, async () => {
      const found = await client.report('127.0.0.1', new AbortController().signal);
      return found && found.done > 100_000 && found.etaSeconds !== null ? found : undefined;
    });
    assert.equal(report.unit, 'bytes');
    assert.ok(report.total > 700_000 && report.perSecond > 0, JSON.stringify(report));
    await client.close();
    running.child.kill('SIGTERM');
    const { code, output } = await running.ended;
    assert.equal(code, 143, output);
    assert.match(output, /"done":\d+[^\n]*step progress/);
    hub.intercept = () => false;
    assert.equal((await start(...model).ended).code, 0);
    assert.deepEqual(filesIn(folder), wantedOf(files));
  });

  it('reads the token from a file, shows it nowhere, and waits for it with an exit code that means again', async () => {
    hub.tokens.set('org/model', ['hf_secret']);
    const token = join(root, 'token');
    const missing = await start(...model, '--hf-token-file', token).ended;
    assert.equal(missing.code, 1, missing.output);
    assert.ok(missing.words?.ok === false && missing.words.code === 'FETCH_TOKEN' && missing.words.retryable);
    assert.match(missing.words.message, /spec\.modelCache\.tokenSecretRef/);
    writeFileSync(token, 'hf_secret\n');
    const { code, output } = await start(...model, '--hf-token-file', token).ended;
    assert.equal(code, 0, output);
    assert.doesNotMatch(output + readFileSync(join(root, 'last-words'), 'utf8'), /hf_secret/);
  });

  it('goes by a proxy where the variables name one', async () => {
    const asked: string[] = [];
    // over http the whole address is asked of the proxy; over https it would be a tunnel, which is undici's matter alone
    const proxy = createServer((asking, answer) => {
      const { host } = new URL(asking.url ?? '');
      asked.push(host);
      const { method, headers } = asking;
      forward(asking.url ?? '', { method, headers }, (response) => {
        answer.writeHead(response.statusCode ?? 502, response.headers);
        response.pipe(answer);
      }).end();
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    environment['HTTP_PROXY'] = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    try {
      const { code, output } = await start(...model).ended;
      assert.equal(code, 0, output);
      assert.deepEqual(filesIn(folder), wantedOf(files));
      for (const url of [hub.url, hub.storageUrl]) assert.ok(asked.includes(new URL(url).host), asked.join(' '));
    } finally {
      delete environment['HTTP_PROXY'];
      proxy.close();
      proxy.closeAllConnections();
    }
  });

  it('ends with 3 where a person is needed, and says what is to be done', async () => {
    hub.tokens.set('org/model', ['good']);
    hub.gated.add('org/model');
    const { code, words, output } = await start(...model).ended;
    assert.equal(code, 3, output);
    assert.ok(words?.ok === false && words.code === 'FETCH_DENIED' && !words.retryable);
    assert.match(words.message, /the repository is gated; accept its terms on its page, and give a token/);
  });

  it('ends with 1 where the hub is away for long', async () => {
    hub.intercept = (_, response) => {
      response.writeHead(503, { 'retry-after': '3600' }).end();
      return true;
    };
    const { code, words, output } = await start(...model).ended;
    assert.equal(code, 1, output);
    assert.ok(words?.ok === false && words.code === 'FETCH_UNAVAILABLE' && words.retryable);
  });

  it('ends with 2 for a command line that cannot be followed', async () => {
    for (const flags of [['--model', 'org/model'], [], [...model, '--files', '0'], [...model, '--wrong']]) {
      const { code, words } = await start(...flags).ended;
      assert.equal(code, 2, flags.join(' '));
      assert.ok(words?.ok === false && words.code === 'USAGE');
    }
  });
});
