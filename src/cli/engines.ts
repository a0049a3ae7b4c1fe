import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { engineFailure, enginePlanSchema, type EnginePlan, type EngineReport } from '../api/engine-plan.ts';
import { EngineProcess } from './engine-process.ts';

const usage = `usage: r2r engines PLAN

Starts two model servers one after the other, reports how they are, and lives as long as both do. PLAN is JSON, written by the operator for a
pod with placement Colocated: see docs/placement.md.`;

/** How often an engine that starts is asked whether it is ready, in ms. */
const askEveryMs = 200;

const say = (text: string): void => console.error(`launcher: ${text}`);

/**
 * `r2r engines`: the launcher of a Colocated pod with CPU engines, and the same in all it does as the script for the SGLang image
 * (src/manifests/sglang-launcher.ts), but for sharing GPU memory. Ends with 0 when it was told to, with 1 and one line when an engine ended by
 * itself or did not become ready in time, and with 2 for a wrong command line.
 */
export async function engines(argv: readonly string[]): Promise<void> {
  const plan = readPlan(argv);
  if (!plan) return;
  const pair = plan.engines.map((engine) => new EngineProcess(engine));
  const stopping = new AbortController();
  const stop = async (): Promise<void> => {
    if (stopping.signal.aborted) return;
    stopping.abort();
    // the last one first: without the LLM the SLM's answers go on, without the SLM there are none
    for (const engine of pair.toReversed()) await engine.stop(plan.stopTimeoutSeconds * 1000);
    say('stopped');
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void stop());
  const fail = (engine: EngineProcess, what: string): void => {
    if (stopping.signal.aborted) return;
    stopping.abort();
    // the other one cannot be of use alone, and its memory must be free before they start again
    for (const each of pair) each.kill();
    console.error(engineFailure(engine.plan.name, what));
    process.exit(1);
  };
  await report(plan, pair, stopping.signal);
  for (const engine of pair) {
    const began = performance.now();
    const seconds = (): number => (performance.now() - began) / 1000;
    say(`starting ${engine.plan.name}`);
    engine.start([process.execPath, ...process.execArgv, process.argv[1] ?? ''], process.env);
    void engine.ended.then((how) => fail(engine, how));
    while (!(await engine.isReady())) {
      await sleep(askEveryMs);
      if (stopping.signal.aborted) return;
      if (seconds() > plan.readyTimeoutSeconds) {
        fail(engine, `was not ready after ${plan.readyTimeoutSeconds} s`);
        return;
      }
    }
    if (stopping.signal.aborted) return;
    say(`${engine.plan.name} is ready after ${seconds().toFixed(0)} s`);
  }
}

/** Undefined when help was asked for; ends the process with 2 for what is no plan. */
function readPlan(argv: readonly string[]): EnginePlan | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: { help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
    });
    if (values.help) {
      console.log(usage);
      return undefined;
    }
    const [text = ''] = positionals;
    if (text === '' || positionals.length > 1) throw new Error('one argument is needed: the plan');
    return enginePlanSchema.parse(JSON.parse(text));
  } catch (error) {
    console.error(`r2r engines: ${error instanceof Error ? error.message : String(error)}; \`r2r engines --help\` says what is wanted`);
    process.exit(2);
  }
}

/** Answers the kubelet and the router. */
async function report({ report: at }: EnginePlan, pair: readonly EngineProcess[], stopping: AbortSignal): Promise<void> {
  const answer = async (path: string | undefined, response: ServerResponse): Promise<void> => {
    const states = await Promise.all(
      pair.map(async (engine) => {
        const state = await engine.state();
        return [engine.plan.name, state === 'ready' && stopping.aborted ? 'unready' : state] as const;
      }),
    );
    let good = path === '/ready' && states.every(([, state]) => state === 'ready');
    if (path === '/health') {
      // an engine that starts has its own deadline
      const alive = await Promise.all(pair.filter(({ wasReady }) => wasReady).map((engine) => engine.answers('/health')));
      good = alive.every(Boolean);
    }
    const body: Partial<EngineReport> = Object.fromEntries(states);
    response.writeHead(good ? 200 : 503, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  const server = createServer((request, response) => void answer(request.url, response));
  server.listen(at.port, at.host);
  await once(server, 'listening');
}
