import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const root = join(import.meta.dirname, '../..');
const modelPath = join(import.meta.dirname, '../conformance/models/slm');
const faultUrl = (name: string): string => pathToFileURL(join(import.meta.dirname, `faults/${name}.mjs`)).href;

describe('r2r engine', function () {
  this.timeout(60_000);
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });

  /** Starts the program, and collects its standard error. */
  const run = (execArgv: readonly string[], args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const child = spawn(
      process.execPath,
      [...execArgv, join(root, 'src/cli/main.ts'), 'engine', '--model-path', modelPath, '--port', '0', ...args],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } },
    );
    children.push(child);
    const stderr: string[] = [];
    createInterface({ input: child.stderr }).on('line', (line) => stderr.push(line));
    const closed = once(child, 'close') as Promise<[code: number | null]>;
    return { child, closed, stderr };
  };
  const readyUrl = async ({ child }: ReturnType<typeof run>): Promise<string> => {
    for await (const line of createInterface({ input: child.stdout })) {
      const entry = JSON.parse(line) as { readonly message: string; readonly url: string };
      if (entry.message === 'engine ready') return entry.url;
    }
    throw new Error('the engine ended before it was ready');
  };
  const generate = (url: string) =>
    fetch(`${url}/generate`, {
      method: 'POST',
      body: JSON.stringify({ input_ids: [5, 6], sampling_params: { temperature: 0, max_new_tokens: 4 } }),
    });

  for (const [what, fault, line] of [
    ['fails', 'step-fails', 'r2r engine: the engine thread failed: Error: the device fell off the bus'],
    ['ends without a word', 'thread-ends', 'r2r engine: the engine thread ended with code 0'],
  ] as const) {
    it(`exits 1 with one line when the thread that computes ${what}`, async () => {
      const engine = run(['--import', faultUrl(fault)], ['--emulate', 'decode=10000']);
      const url = await readyUrl(engine);
      await assert.rejects(generate(url));
      assert.deepEqual(await engine.closed, [1, null]);
      assert.deepEqual(engine.stderr, [line]);
    });
  }

  it('exits 1 with one line when the thread that computes never starts', async () => {
    const engine = run(['--import', faultUrl('thread-never-starts')], []);
    assert.deepEqual(await engine.closed, [1, null]);
    assert.deepEqual(engine.stderr, ['r2r engine: the engine thread ended with code 0 before it was ready']);
  });

  it('answers /health without computing a token where SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION is false', async () => {
    // any step would end this engine
    const engine = run(['--import', faultUrl('step-fails')], ['--emulate', 'decode=10000'], {
      SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION: 'False',
    });
    const url = await readyUrl(engine);
    assert.equal((await fetch(`${url}/health`)).status, 200);
    assert.equal(engine.child.exitCode, null);
    await assert.rejects(fetch(`${url}/health_generate`));
    assert.deepEqual(await engine.closed, [1, null]);
  });
});
