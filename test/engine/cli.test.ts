import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { send } from '../conformance/recording.ts';

const main = join(import.meta.dirname, '../../src/cli/main.ts');
const model = join(import.meta.dirname, '../conformance/models/slm');

describe('r2r engine', function () {
  this.timeout(60_000);
  let child: ChildProcess | undefined;
  afterEach(() => {
    child?.kill('SIGKILL');
    child = undefined;
  });

  /** Starts the program and resolves with its URL when it says that it is ready. */
  async function start(...flags: string[]): Promise<string> {
    child = spawn(process.execPath, [main, 'engine', '--model-path', model, '--port', '0', ...flags], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    for await (const line of createInterface({ input: child.stdout! })) {
      const { message, url } = JSON.parse(line) as { readonly message: string; readonly url: string };
      if (message === 'engine ready') return url;
    }
    throw new Error('the engine ended before it was ready');
  }
  const run = (...flags: string[]) => spawnSync(process.execPath, [main, 'engine', ...flags], { encoding: 'utf8' });
  const generate = (base: string, body: object) => send(base, { method: 'POST', path: '/generate', body });

  for (const [flags, status, message] of [
    [
      ['--model-path', '/no/such/model'],
      1,
      /^r2r engine: \/no\/such\/model: no such model folder; set the model path to a Hugging Face model folder .*\n$/,
    ],
    [[], 2, /--model-path is missing/],
    [['--model-path', model, '--no-such-flag'], 2, /Unknown option '--no-such-flag'.*`r2r engine --help` lists the flags/],
    [['--model-path', model, '--port', 'x'], 2, /--port must be a whole number of at least 0, got "x"/],
    [['--model-path', model, '--tp-size', '2'], 2, /--tp-size 2 is not possible on the CPU engine, only 1 is/],
    [['--model-path', model, '--emulate', 'decode=x'], 2, /--emulate decode must be milliseconds/],
    [['--model-path', model, '--dtype', 'int4'], 2, /--dtype must be one of auto, bfloat16/],
  ] as const) {
    it(`ends with ${status} and one line for ${flags.join(' ').replace(model, 'MODEL') || 'no flags'}`, () => {
      const { status: found, stderr } = run(...flags);
      assert.equal(found, status);
      assert.match(stderr, message);
      assert.equal(stderr.trim().split('\n').length, 1);
    });
  }

  it('lists its flags', () => {
    const { status, stdout } = run('--help');
    assert.equal(status, 0);
    assert.match(stdout, /--model-path FOLDER/);
  });

  it("takes SGLang's flags, serves, finishes what it has after SIGTERM, and ends with 0", async () => {
    const flags = ['--served-model-name', 'tiny', '--context-length', '512', '--mem-fraction-static', '0.3', '--tensor-parallel-size', '1'];
    const url = await start(...flags, '--enable-return-hidden-states', '--emulate', 'decode=10');
    const list = (await send(url, { method: 'GET', path: '/v1/models' })).json as {
      readonly data: readonly { readonly id: string; readonly max_model_len: number }[];
    };
    assert.deepEqual([list.data[0]!.id, list.data[0]!.max_model_len], ['tiny', 512]);
    // without --enable-metrics there are none, and no timings in the answers
    assert.equal((await send(url, { method: 'GET', path: '/metrics' })).status, 404);
    assert.equal((await send(url, { method: 'GET', path: '/ready' })).status, 200);

    const running = generate(url, { input_ids: [1, 2, 3], sampling_params: { max_new_tokens: 100, temperature: 0, ignore_eos: true } });
    const exited = once(child!, 'exit');
    const loads = async () =>
      ((await send(url, { method: 'GET', path: '/v1/loads' })).json as { readonly loads: readonly { readonly num_running_reqs: number }[] })
        .loads[0]!;
    while ((await loads()).num_running_reqs === 0);
    child!.kill('SIGTERM');
    while ((await send(url, { method: 'GET', path: '/ready' })).status === 200);
    const { status, json } = await running;
    assert.equal(status, 200);
    const { output_ids: ids, meta_info: info } = json as { readonly output_ids: readonly number[]; readonly meta_info: object };
    assert.equal(ids.length, 100);
    assert.ok(!('queue_time' in info));
    assert.deepEqual(await exited, [0, null]);
  });

  it('refuses hidden states unless started for them', async () => {
    const url = await start();
    const { status, json } = await generate(url, { input_ids: [1], return_hidden_states: true });
    assert.equal(status, 400);
    assert.match((json as { readonly error: { readonly message: string } }).error.message, /not configured to return hidden states/);
  });

  it('emulates another device: steps of concurrent requests pass together', async () => {
    const url = await start('--emulate', 'decode=20,extend=40,prefill=1');
    const request = (length: number) =>
      generate(url, {
        input_ids: Array.from({ length }, (_, at) => (at * 7 + length) % 500),
        sampling_params: { max_new_tokens: 11, temperature: 0, ignore_eos: true },
      });
    await request(1);
    const started = performance.now();
    await Promise.all([request(20), request(21)]);
    const elapsed = performance.now() - started;
    // one or two prompt steps (40 ms each and a millisecond a token), then ten decode steps of 20 ms for both
    assert.ok(elapsed >= 40 + 20 + 200, `took only ${elapsed} ms`);
  });
});
