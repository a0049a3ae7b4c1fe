/** Two real SGLang servers under the launcher of a Colocated pod, as the operator renders it; on CPU, so that no GPU is shared. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { engineReportSchema } from '../../src/api/engine-plan.ts';
import { ports } from '../../src/api/names.ts';
import { sglangCpuArgs, sglangEnvironment, sglangMemFraction } from '../../tools/sglang/on-cpu.ts';
import { installSGLang } from '../../tools/sglang/install.ts';
import { stored } from '../api/deployments.ts';
import { freePorts } from '../cluster/free-ports.ts';
import { progress } from '../cluster/shared.ts';
import { until } from '../cluster/progress.ts';
import { render, workload } from '../manifests/rendering.ts';
import { tinyModels } from '../router/tiny-pair.ts';

const startMs = 20 * 60_000;

describe('the launcher of a Colocated pod, with real SGLang servers', function () {
  this.timeout(45 * 60_000);
  let container: ChildProcess;
  let words = '';
  let report: string;
  let command: readonly string[];

  const start = (): void => {
    words = '';
    const [file = '', ...args] = command;
    container = spawn(file, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...sglangEnvironment } });
    container.stderr!.setEncoding('utf8').on('data', (text: string) => (words += text));
  };
  const states = async (): Promise<string> => {
    const answer = await fetch(report);
    const { slm, llm } = engineReportSchema.parse(await answer.json());
    return `${answer.status} ${slm} ${llm}`;
  };
  const says = (wanted: string): Promise<unknown> =>
    until(wanted, startMs, async () => {
      assert.equal(container.exitCode, null, words.slice(-2000));
      return (await states()) === wanted;
    });
  /** Every process that descends from the container's first one. */
  const processes = (): { readonly pid: number; readonly parent: number; readonly command: string }[] => {
    const all = readdirSync('/proc').flatMap((each) => {
      try {
        const status = readFileSync(`/proc/${each}/status`, 'utf8');
        const parent = Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]);
        return [{ pid: Number(each), parent, command: readFileSync(`/proc/${each}/cmdline`, 'utf8') }];
      } catch {
        return [];
      }
    });
    const ours = new Set([container.pid]);
    for (let size = 0; size !== ours.size;) {
      size = ours.size;
      for (const { pid, parent } of all) if (ours.has(parent)) ours.add(pid);
    }
    return all.filter(({ pid }) => ours.has(pid) && pid !== container.pid);
  };
  const gone = (pids: readonly number[]): Promise<unknown> =>
    until('all processes are gone', 30_000, () =>
      Promise.resolve(
        pids.every(
          (pid) => !readdirSync('/proc').includes(String(pid)) || /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')),
        ),
      ),
    );

  before(async () => {
    const { python } = await installSGLang(progress);
    const server = {
      engine: 'SGLang' as const,
      tensorParallelSize: 1,
      memFractionStatic: sglangMemFraction,
      extraArgs: [...sglangCpuArgs],
    };
    const unit = stored('unit', {
      placement: 'Colocated',
      slm: { ...server, model: tinyModels.slm, contextLength: 2048 },
      llm: { ...server, model: tinyModels.llm, contextLength: 2048 },
    });
    const { command: launcher, args } = workload(render(unit), 'slm').spec.template.spec.initContainers![0]!;
    const free = await freePorts(3);
    let plan = args[0]!.replaceAll('$(POD_IP)', '127.0.0.1').replaceAll('"python3"', JSON.stringify(python));
    for (const [index, port] of [ports.engine, ports.colocatedLLM, ports.launcher].entries())
      plan = plan.replaceAll(String(port), String(free[index]));
    report = `http://127.0.0.1:${free[2]}/ready`;
    command = ['setpriv', '--pdeathsig', 'KILL', ...launcher!, plan];
    start();
  });
  after(async () => {
    if (container.exitCode !== null) return;
    container.kill('SIGTERM');
    await once(container, 'exit');
  });

  it('starts one after the other', async () => {
    await says('503 ready starting');
    await says('200 ready ready');
  });

  it('ends with all processes of both when a scheduler of the LLM is killed', async () => {
    const all = processes();
    const llm = all.find(({ command: line, parent }) => parent === container.pid && line.includes('--served-model-name\0llm\0'));
    const scheduler = all.find(({ command: line, parent }) => parent === llm?.pid && line.includes('scheduler'));
    assert.ok(scheduler, `${all.length} processes, and no scheduler of the LLM`);
    const ended = once(container, 'exit');
    process.kill(scheduler.pid, 'SIGKILL');
    const [status] = (await ended) as [number];
    assert.equal(status, 1);
    assert.match(words, /launcher: engine llm ended with /);
    await gone(all.map(({ pid }) => pid));
  });

  it('ends both in order, within their time, on SIGTERM', async () => {
    start();
    await says('200 ready ready');
    const all = processes();
    const ended = once(container, 'exit');
    const began = Date.now();
    container.kill('SIGTERM');
    const [status] = (await ended) as [number];
    progress(`ended ${((Date.now() - began) / 1000).toFixed(0)} s after SIGTERM`);
    assert.equal(status, 0);
    assert.ok(Date.now() - began < 54_000, 'within what the pod has left after its router');
    await gone(all.map(({ pid }) => pid));
  });
});
