/**
 * A Colocated unit without a cluster: the plan that the operator renders for the example, both engines with the tiny models under `r2r engines`, and a
 * router that asks their launcher. The test plays the kubelet: it starts the container again.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { blamedEngine, enginePlanSchema } from '../../src/api/engine-plan.ts';
import { ports } from '../../src/api/names.ts';
import { launcherEndpoints } from '../../src/cli/launcher-endpoints.ts';
import { example, render, workload } from '../manifests/rendering.ts';
import { startTinyRouter, type TinyRouter } from '../router/tiny-pair.ts';
import { until } from '../cluster/progress.ts';
import { freePorts } from '../cluster/free-ports.ts';

const main = join(import.meta.dirname, '../../src/cli/main.ts');
const models = join(import.meta.dirname, '../../examples/models');

describe('a Colocated unit of the tiny models', function () {
  this.timeout(120_000);
  let args: readonly string[];
  let urls: Readonly<Record<'slm' | 'llm' | 'launcher', string>>;
  let container: ChildProcess;
  let words = '';
  let unit: TinyRouter;

  /** What the kubelet does with the container `engine`. */
  const start = (): void => {
    words = '';
    container = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    container.stderr!.setEncoding('utf8').on('data', (text: string) => (words += text));
  };
  const processOf = (role: 'slm' | 'llm'): number => {
    const pid = readdirSync('/proc').find((each) => {
      try {
        const command = /^\d+$/.test(each) ? readFileSync(`/proc/${each}/cmdline`, 'utf8').split('\0') : [];
        return command.includes('engine') && command.includes(role) && command.includes(new URL(urls[role]).port);
      } catch {
        return false;
      }
    });
    assert.ok(pid, `an engine ${role}`);
    return Number(pid);
  };
  const answered = async (): Promise<{ slm: number; llm: number; fallback: number }> => {
    const response = await fetch(`${unit.router.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'tiny',
        messages: [{ role: 'user', content: 'Start with 12. Add 30. What is the result?' }],
        max_tokens: 40,
        r2r: { threshold: 0.05 },
      }),
    });
    const body = (await response.json()) as { r2r: { token_counts: { slm: number; llm: number; fallback: number } } };
    return body.r2r.token_counts;
  };

  before(async () => {
    const rendered = workload(render(example('r2rdeployment-colocated.yaml')), 'slm').spec.template.spec.initContainers![0]!;
    const free = await freePorts(3);
    const [slm, llm, launcher] = free.map((port) => `http://127.0.0.1:${port}`);
    urls = { slm: slm!, llm: llm!, launcher: launcher! };
    // here is neither a pod with an address of its own nor our image
    let plan = rendered.args.at(-1)!.replaceAll('$(POD_IP)', '127.0.0.1').replaceAll('/opt/r2r/examples/models', models);
    for (const [index, port] of [ports.engine, ports.colocatedLLM, ports.launcher].entries())
      plan = plan.replaceAll(String(port), String(free[index]));
    enginePlanSchema.parse(JSON.parse(plan));
    args = [...rendered.args.slice(0, -1), plan];
    start();
    unit = await startTinyRouter(urls.slm, urls.llm, { endpoints: launcherEndpoints(urls.llm, urls.launcher) });
  });
  after(async () => {
    await unit.router.stop();
    container.kill('SIGTERM');
    await once(container, 'exit');
  });

  it('answers with tokens of both models', async () => {
    const { slm, llm, fallback } = await answered();
    assert.ok(slm > 0 && llm > 0, `${slm} and ${llm} tokens`);
    assert.equal(fallback, 0);
    assert.match(words, /starting slm[\s\S]*slm is ready[\s\S]*starting llm[\s\S]*llm is ready/);
  });

  for (const role of ['llm', 'slm'] as const) {
    it(`says what it waits for while both engines start again after the ${role.toUpperCase()} was killed, and answers as before`, async () => {
      process.kill(processOf(role), 'SIGKILL');
      const [status] = (await once(container, 'exit')) as [number];
      assert.equal(status, 1);
      assert.equal(blamedEngine(words), role);
      await until('the router has noticed', 10_000, () => {
        const { slmReady, llmEndpoints } = unit.router.status();
        return Promise.resolve(!unit.router.readiness().ready && !slmReady && !llmEndpoints[0]?.ready);
      });
      const seen = new Set<string>();
      start();
      await until(
        'the router is ready',
        60_000,
        () => {
          const { slmReady, llmEndpoints } = unit.router.status();
          seen.add(`${slmReady ? 'slm' : '-'} ${llmEndpoints[0]?.ready ? 'llm' : '-'}`);
          return Promise.resolve(unit.router.readiness().ready);
        },
        50,
      );
      assert.ok(!seen.has('- llm'), `the LLM is never told to be there before the SLM: ${[...seen].join(', ')}`);
      const { llm, fallback } = await answered();
      assert.ok(llm > 0);
      assert.equal(fallback, 0);
    });
  }
});
