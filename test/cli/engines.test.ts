/** Both launchers of a Colocated pod, as real processes with real signals; the engines are stubs that only speak /ready and /health. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { blamedEngine, engineReportSchema, type EnginePlan } from '../../src/api/engine-plan.ts';
import { sglangLauncher } from '../../src/manifests/sglang-launcher.ts';
import { until } from '../cluster/progress.ts';
import { freePorts } from '../cluster/free-ports.ts';

const stub = join(import.meta.dirname, 'stub-engine.ts');
const main = join(import.meta.dirname, '../../src/cli/main.ts');

const launchers = {
  'the script for the SGLang image': ['python3', '-c', sglangLauncher],
  'r2r engines': [process.execPath, main, 'engines'],
} as const;

const isAlive = (pid: number): boolean => {
  try {
    // a zombie is as good as gone
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

interface Behaviour {
  /** Arguments of the stub behind its first three. */
  readonly slm?: readonly string[];
  readonly llm?: readonly string[];
  readonly command?: readonly string[];
  readonly memory?: Readonly<Record<'slm' | 'llm', EnginePlan['engines'][number]['memory']>>;
  readonly env?: NodeJS.ProcessEnv;
  readonly times?: Partial<Pick<EnginePlan, 'readyTimeoutSeconds' | 'stopTimeoutSeconds'>>;
}

class Launched {
  readonly child: ChildProcess;
  readonly urls: Readonly<Record<'slm' | 'llm' | 'launcher', string>>;
  readonly closed: Promise<unknown>;
  readonly #events: string;
  stderr = '';

  constructor(child: ChildProcess, ports: readonly number[], events: string) {
    this.child = child;
    const [slm, llm, launcher] = ports.map((port) => `http://127.0.0.1:${port}`);
    this.urls = { slm: slm!, llm: llm!, launcher: launcher! };
    this.#events = events;
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.closed = once(child, 'close');
  }

  /** What happened to the engines, in order. */
  get events(): readonly string[] {
    return existsSync(this.#events) ? readFileSync(this.#events, 'utf8').trim().split('\n').filter(Boolean) : [];
  }

  happened(event: string): Promise<unknown> {
    return until(event, 15_000, () => Promise.resolve(this.events.includes(event)), 20);
  }

  async report(path = '/ready'): Promise<string> {
    const answer = await fetch(this.urls.launcher + path);
    const { slm, llm } = engineReportSchema.parse(await answer.json());
    return `${answer.status} ${slm} ${llm}`;
  }

  says(report: string, path = '/ready'): Promise<unknown> {
    return until(`the report "${report}"`, 15_000, async () => (await this.report(path)) === report, 20);
  }

  /** Ends with this status; nobody is left, children of engines included. */
  async ends(status: number): Promise<string> {
    await until('the end', 15_000, () => Promise.resolve(this.child.exitCode !== null), 20);
    assert.equal(this.child.exitCode, status, this.stderr);
    await this.closed;
    const pids = this.events.flatMap((event) => /child (\d+)/.exec(event)?.[1] ?? []).map(Number);
    await until('the engines and all they started are gone', 5_000, () => Promise.resolve(!pids.some(isAlive)), 20);
    return this.stderr.trim().split('\n').at(-1) ?? '';
  }
}

for (const [name, command] of Object.entries(launchers)) {
  describe(`the launcher of a Colocated pod: ${name}`, function () {
    this.timeout(60_000);
    let folder: string;
    const running: ChildProcess[] = [];
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'r2r-launcher-'));
    });
    afterEach(async () => {
      for (const child of running.splice(0).filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
      rmSync(folder, { recursive: true });
    });

    async function launch({ slm = [], llm = [], memory, env, times, ...more }: Behaviour = {}): Promise<Launched> {
      const ports = await freePorts(3);
      const events = join(folder, 'events');
      const engine = (role: 'slm' | 'llm', port: number, gpus: string, traits: readonly string[]) => ({
        name: role,
        url: `http://127.0.0.1:${port}`,
        command: [...(more.command ?? [process.execPath, stub]), role, String(port), events, ...traits],
        env: { CUDA_VISIBLE_DEVICES: gpus },
        ...(memory && { memory: memory[role] }),
      });
      const plan: EnginePlan = {
        engines: [engine('slm', ports[0]!, '1', slm), engine('llm', ports[1]!, '0,1', llm)],
        report: { host: '127.0.0.1', port: ports[2]! },
        readyTimeoutSeconds: 30,
        stopTimeoutSeconds: 10,
        ...times,
      };
      const [file, ...args] = command;
      const child = spawn(file, [...args, JSON.stringify(plan)], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
      running.push(child);
      return new Launched(child, ports, events);
    }

    const gist = ({ events }: Launched): string[] => events.filter((event) => !/ child | listens/.test(event));

    it('starts the LLM when the SLM is ready, each on its GPUs, and says how far they are', async () => {
      const launched = await launch({ slm: ['500'], llm: ['500'] });
      await launched.happened('slm start 1');
      await launched.says('503 starting waiting');
      await launched.says('503 ready starting');
      await launched.says('200 ready ready');
      assert.deepEqual(gist(launched), ['slm start 1', 'llm start 0,1']);
    });

    it('is alive while engines start, and no longer than they are', async () => {
      const launched = await launch({ slm: ['500'] });
      await launched.says('200 starting waiting', '/health');
      await launched.says('200 ready ready', '/health');
      await fetch(`${launched.urls.llm}/sicken`, { method: 'POST' });
      await launched.says('503 ready unready', '/health');
      assert.equal(await launched.report(), '503 ready unready');
    });

    for (const [dead, other] of [
      ['slm', 'llm'],
      ['llm', 'slm'],
    ] as const) {
      it(`ends when the ${dead.toUpperCase()} does, with the ${other.toUpperCase()} and all that both have started`, async () => {
        const launched = await launch();
        await launched.says('200 ready ready');
        await fetch(`${launched.urls[dead]}/die`, { method: 'POST' }).catch(() => undefined);
        const words = await launched.ends(1);
        assert.equal(words, `launcher: engine ${dead} ended with exit status 3; both start again`);
        assert.equal(blamedEngine(words), dead);
        assert.ok(!launched.events.includes(`${other} end`), 'nothing is waited for');
      });
    }

    it('ends when the SLM dies before it was ready, and has not started the LLM', async () => {
      const launched = await launch({ slm: ['never'] });
      await launched.happened('slm listens');
      assert.equal(await launched.report(), '503 starting waiting');
      await fetch(`${launched.urls.slm}/die`, { method: 'POST' }).catch(() => undefined);
      assert.match(await launched.ends(1), /engine slm ended with exit status 3/);
      assert.deepEqual(gist(launched), ['slm start 1']);
    });

    it('gives up on an SLM that never becomes ready, and names it', async () => {
      const launched = await launch({ slm: ['never'], times: { readyTimeoutSeconds: 2 } });
      const words = await launched.ends(1);
      assert.equal(words, 'launcher: engine slm was not ready after 2 s; both start again');
      assert.deepEqual(gist(launched), ['slm start 1']);
    });

    it('gives up on an LLM that never becomes ready, and ends the SLM with it', async () => {
      const launched = await launch({ llm: ['never'], times: { readyTimeoutSeconds: 2 } });
      assert.equal(blamedEngine(await launched.ends(1)), 'llm');
    });

    it('says so when an engine cannot be started', async () => {
      const launched = await launch({ command: [join(folder, 'no-such-program')] });
      const words = await launched.ends(1);
      assert.match(words, /^launcher: engine slm cannot be started: .*no-such-program.*; both start again$/);
    });

    it('on SIGTERM lets the LLM finish, then the SLM, and ends with 0', async () => {
      const launched = await launch();
      await launched.says('200 ready ready');
      launched.child.kill('SIGTERM');
      await launched.happened('llm SIGTERM');
      assert.equal(await launched.report(), '503 unready unready');
      await launched.ends(0);
      assert.deepEqual(gist(launched).slice(2), ['llm SIGTERM', 'llm end', 'slm SIGTERM', 'slm end']);
    });

    it('on SIGTERM while the SLM starts ends it, and does not start the LLM', async () => {
      const launched = await launch({ slm: ['never'] });
      await launched.happened('slm listens');
      assert.equal(await launched.report(), '503 starting waiting');
      launched.child.kill('SIGTERM');
      await launched.ends(0);
      assert.deepEqual(gist(launched), ['slm start 1', 'slm SIGTERM', 'slm end']);
    });

    it('kills an engine that does not end in time', async () => {
      const launched = await launch({ llm: ['0', 'deaf'], times: { stopTimeoutSeconds: 1 } });
      await launched.says('200 ready ready');
      launched.child.kill('SIGTERM');
      await launched.ends(0);
      assert.deepEqual(gist(launched).slice(2), ['llm SIGTERM', 'slm SIGTERM', 'slm end']);
    });

    it('answers an engine that hangs as quickly as the kubelet wants to know', async () => {
      const launched = await launch();
      await launched.says('200 ready ready');
      const pid = Number(launched.events.find((event) => event.startsWith('llm child'))?.split(' ')[2]);
      // the stub itself is its child's parent
      const parent = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
      process.kill(parent, 'SIGSTOP');
      const began = Date.now();
      assert.equal(await launched.report(), '503 ready unready');
      assert.ok(Date.now() - began < 4_900, 'within the timeout of the probe');
      process.kill(parent, 'SIGCONT');
    });
  });
}

describe('GPU memory in a Colocated pod', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'r2r-memory-'));
  after(() => rmSync(folder, { recursive: true }));

  /** A folder with a configuration and weights of this many bytes (which take no room on disk). */
  const model = (name: string, config: object, weights: number): string => {
    const path = join(folder, name);
    mkdirSync(path);
    writeFileSync(join(path, 'config.json'), JSON.stringify(config));
    const half = spawn('truncate', ['--size', String(weights / 2), join(path, 'a.safetensors'), join(path, 'b.safetensors')]);
    pending.push(once(half, 'exit'));
    return path;
  };
  const pending: Promise<unknown>[] = [];
  // DeepSeek-R1-Distill-Qwen 1.5B and 32B, of their config.json, and the size of their files
  const small = model(
    'small',
    { hidden_size: 1536, num_attention_heads: 12, num_key_value_heads: 2, num_hidden_layers: 28 },
    3_554_214_752,
  );
  const large = model(
    'large',
    { hidden_size: 5120, num_attention_heads: 40, num_key_value_heads: 8, num_hidden_layers: 64 },
    65_527_841_792,
  );

  /** Runs the script with an `nvidia-smi` that says this, until the first engine has started. */
  async function shares(
    smi: string,
    fixed: Readonly<Record<'slm' | 'llm', boolean>>,
    llm = large,
  ): Promise<{ stderr: string; told: string[] }> {
    await Promise.all(pending);
    const bin = mkdtempSync(join(folder, 'bin-'));
    writeFileSync(join(bin, 'nvidia-smi'), `#!/bin/sh\n${smi}\n`);
    chmodSync(join(bin, 'nvidia-smi'), 0o755);
    const ports = await freePorts(3);
    const events = join(bin, 'events');
    const engine = (name: 'slm' | 'llm', port: number, path: string, gpus: number, share: string) => ({
      name,
      url: `http://127.0.0.1:${port}`,
      command: [process.execPath, stub, name, String(port), events, '0', '--mem-fraction-static', share],
      env: {},
      memory: { model: path, gpus, fixed: fixed[name] },
    });
    const plan: EnginePlan = {
      engines: [engine('slm', ports[0]!, small, 1, '0.15'), engine('llm', ports[1]!, llm, 2, '0.8')],
      report: { host: '127.0.0.1', port: ports[2]! },
      readyTimeoutSeconds: 30,
      stopTimeoutSeconds: 5,
    };
    const child = spawn('python3', ['-c', sglangLauncher, JSON.stringify(plan)], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, PATH: `${bin}:${process.env.PATH}` },
    });
    const launched = new Launched(child, ports, events);
    await launched.says('200 ready ready');
    child.kill('SIGTERM');
    await launched.ends(0);
    await sleep(0);
    return { stderr: launched.stderr, told: launched.events.filter((event) => event.includes('share')) };
  }

  it("is shared by upstream's formula: as many tokens fit into one cache as into the other", async () => {
    const total = 81_559;
    const { told, stderr } = await shares(`printf '${total}\\n${total}\\n'`, { slm: false, llm: false });
    // the formula once more, as R2R's sl_disaggregation_system.py has it
    const bytes = total * 2 ** 20;
    const [weightsOfSmall, weightsOfLarge] = [3_554_214_752, 65_527_841_792 / 2];
    const [cellOfSmall, cellOfLarge] = [2 * 128 * 28 * 2 * 2, 4 * 128 * 64 * 2 * 2];
    const tokens = (0.9 * (0.85 * bytes - weightsOfSmall - weightsOfLarge)) / (cellOfSmall + cellOfLarge);
    const first = (tokens * cellOfSmall + weightsOfSmall) / bytes;
    const second = (tokens * cellOfLarge + weightsOfLarge) / bytes / (1 - first);
    assert.deepEqual(told, [`slm share ${first.toFixed(3)}`, `llm share ${second.toFixed(3)}`]);
    assert.match(stderr, /launcher: memory by upstream's formula: slm 0\.1\d\d, llm 0\.7\d\d/);
  });

  it('goes by the smaller of two GPUs', async () => {
    const [even, uneven] = [
      await shares("printf '46068\\n46068\\n'", { slm: false, llm: false }),
      await shares("printf '81559\\n46068\\n'", { slm: false, llm: false }),
    ];
    assert.deepEqual(even.told, uneven.told);
  });

  it('is what the spec says where it says so, for one engine or both', async () => {
    const smi = "printf '81559\\n81559\\n'";
    assert.match((await shares(smi, { slm: true, llm: false })).told.join(), /^slm share 0\.15,llm share 0\.7\d\d$/);
    const both = await shares(smi, { slm: true, llm: true });
    assert.deepEqual(both.told, ['slm share 0.15', 'llm share 0.8']);
    assert.doesNotMatch(both.stderr, /formula|default/);
  });

  for (const [what, smi, why] of [
    ['there is no nvidia-smi that works', 'exit 9', /CalledProcessError/],
    ['it says something else than numbers', 'echo [N/A]', /ValueError/],
    ['the weights do not fit', 'echo 24000', /the weights of both models take more than 85 % of a GPU/],
  ] as const) {
    it(`is 0.15 and 0.8 where ${what}, and it says why`, async () => {
      const { told, stderr } = await shares(smi, { slm: false, llm: false });
      assert.deepEqual(told, ['slm share 0.15', 'llm share 0.8']);
      assert.match(stderr, /launcher: memory is shared by default, since it cannot be worked out: /);
      assert.match(stderr, why);
    });
  }

  it('is 0.15 and 0.8 for a model whose cache it does not know', async () => {
    const latent = model('latent', { kv_lora_rank: 512, num_hidden_layers: 61, hidden_size: 7168, num_attention_heads: 128 }, 1000);
    const { told, stderr } = await shares('echo 81559', { slm: false, llm: false }, latent);
    assert.deepEqual(told, ['slm share 0.15', 'llm share 0.8']);
    assert.match(stderr, /KeyError: 'num_key_value_heads'/);
  });
});
