import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { complete } from './chat-client.ts';
import { vocabulary, writeModelFolder } from './model-folder.ts';
import { distribution } from './scripted-models.ts';
import { ScriptedServer } from './scripted-server.ts';
import { until } from './stage.ts';

describe('r2r router', function () {
  this.timeout(60_000);
  let folder: string;
  const children: ChildProcess[] = [];
  const servers: ScriptedServer[] = [];
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'r2r-cli-'));
    await writeModelFolder(join(folder, 'slm'));
    await writeModelFolder(join(folder, 'llm'));
    await writeModelFolder(join(folder, 'other'), { rename: { '<think>': '<reason>' } });
  });
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    for (const server of servers) await server.stop();
    await rm(folder, { recursive: true });
  });

  const run = (...args: string[]): ChildProcess => {
    const child = spawn(process.execPath, ['src/cli/main.ts', 'router', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    children.push(child);
    return child;
  };
  const ended = async (child: ChildProcess): Promise<{ code: unknown; stderr: string }> => {
    let stderr = '';
    child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, stderr };
  };
  const folders = (llm = 'llm'): string[] => ['--slm-model-path', join(folder, 'slm'), '--llm-model-path', join(folder, llm)];

  it('serves until SIGTERM, logging JSON lines with the addresses it took, and ends with exit code 0', async () => {
    const serve = async (): Promise<ScriptedServer> => {
      const next = () => ({ id: vocabulary.end, top: distribution(vocabulary.end, 0.99) });
      const server = await new ScriptedServer({ next, vocabSize: vocabulary.vocabSize, endIds: [vocabulary.end] }).start();
      servers.push(server);
      return server;
    };
    const [slm, llm] = [await serve(), await serve()];
    const config = join(folder, 'router.json');
    await writeFile(
      config,
      JSON.stringify({
        modelName: 'pair',
        strategy: 'entropy',
        threshold: 1,
        maxDraftTokens: 4,
        onLLMUnavailable: 'Fail',
        llmTimeoutSeconds: 5,
        drainingPodUIDs: [],
      }),
    );
    const child = run(
      ...['--slm-url', slm.url, '--llm-url', llm.url, '--config', config, '--drain-delay-seconds', '0', ...folders()],
      ...['--host', '127.0.0.1', '--port', '0', '--admin-host', '127.0.0.1', '--admin-port', '0'],
    );
    const lines: Record<string, unknown>[] = [];
    createInterface({ input: child.stdout! }).on('line', (line) => lines.push(JSON.parse(line) as Record<string, unknown>));
    const listens = (): Record<string, unknown> | undefined => lines.find(({ msg }) => msg === 'router listens');
    await until(() => listens() !== undefined, 'it listens', 40_000);
    const { url, adminUrl } = listens() as { url: string; adminUrl: string };
    await until(async () => (await fetch(`${url}/ready`)).status === 200, 'it is ready');
    assert.equal((await complete(url)).choices[0]?.finish_reason, 'stop');
    assert.match(await (await fetch(`${adminUrl}/metrics`)).text(), /^process_cpu_seconds_total|^nodejs_eventloop_lag_seconds /m);
    child.kill('SIGTERM');
    const [code] = (await once(child, 'close')) as [number | null];
    assert.equal(code, 0);
  });

  it('does not start with two vocabularies, and says which tokens differ', async () => {
    const { code, stderr } = await ended(run('--slm-url', 'http://127.0.0.1:9', '--config', 'none.json', ...folders('other')));
    assert.equal(code, 1);
    assert.match(stderr, /do not share one vocabulary.*"<think>"/);
  });

  it('names what is wrong with its command line', async () => {
    for (const [args, message] of [
      [['--config', 'x', ...folders()], /--slm-url is missing/],
      [['--slm-url', 'http://a', '--config', 'x', '--port', 'http', ...folders()], /--port must be a whole number/],
      [['--slm-url', 'http://a', '--config', 'x', '--slm-model-path', join(folder, 'nowhere'), '--llm-model-path', folder], /nowhere/],
      [['--slm-url', 'http://a', '--config', 'x', '--tls-cert', 'tls.crt', ...folders()], /--tls-cert and --tls-key go together/],
      [['--slm-url', 'http://a', '--config', 'x', '--otlp-endpoint', 'nowhere', ...folders()], /--otlp-endpoint must be a URL/],
      [['--what'], /--what/],
    ] as const) {
      const { code, stderr } = await ended(run(...args));
      assert.equal(code, 1, stderr);
      assert.match(stderr, message);
    }
  });
});
