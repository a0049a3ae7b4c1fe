/**
 * How fast routing is, on emulated GPU timings: `npm run bench:router`, about three minutes on two idle cores; writes
 * bench/results/router.json and fails when a stated aim is missed.
 *
 * The engines are processes of their own that sleep (bench/router/engine.ts), the router is a process of its own, this one is the client.
 * Timings are those that the published 2.8x of R1-1.5B with R1-32B implies: SLM step 3.1 ms, LLM step 30 ms, a routed one-token call 1.84 LLM
 * steps, of which one occupies the LLM and the rest is its overhead; network 0.64 ms a batch; 12.6 % of the tokens divergent, half of
 * them agreeing.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { RouterConfigInput } from '../src/api/router-config.ts';
import { alone, underLoad } from './router/conversations.ts';
import { makeBenchModel } from './router/model.ts';
import { keepProcessorsAwake } from './processors.ts';
import { measureNetwork, ServedRouter, startEmulatedEngine, stopAll } from './router/processes.ts';
import type { Reading } from './router/instruments.ts';

const step = { slm: 3.1, llm: 30 };
const callSteps = 1.84;
const networkMs = 0.64;
const share = 0.126;
const agreement = 0.5;

const modes = {
  plain: { lookahead: 'Off', maxLookaheadCalls: 1 },
  lookahead: { lookahead: 'Single', maxLookaheadCalls: 1 },
  nested: { lookahead: 'Nested', maxLookaheadCalls: 6 },
} as const;
type RoutedMode = keyof typeof modes;

interface Row {
  readonly mode: 'llm' | 'slm' | RoutedMode;
  readonly network: 'none' | 'emulated' | 'int8';
  readonly conversations: number;
  readonly llmShare: number;
  readonly tokensPerSecond: number;
  /** Beside the LLM alone, at the same number of conversations, in the same run. */
  readonly speedup: number;
  /** Of a router that costs nothing (plain: with the network), from the step times. */
  readonly ideal: number;
  /** Share of the LLM's calls whose answer was not used. */
  readonly wastedCalls: number;
  readonly lagP99Ms: number;
  readonly activeMsPerToken: number;
}

const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });
const length = values.quick ? 0.25 : 1;

/** Time of a token in LLM steps, for p divergent tokens of which a part agrees. */
function idealSpeedup(mode: RoutedMode, p: number): number {
  const call = callSteps * step.llm;
  if (mode === 'plain') return step.llm / (step.slm + networkMs + p * call);
  // An answer that agrees costs nothing where the SLM has drafted on meanwhile; without nesting, only up to the next divergent token.
  const hidden = mode === 'nested' ? call : Math.min(call, step.slm / p);
  return step.llm / (step.slm + p * ((1 - agreement) * call + agreement * (call - hidden)));
}

const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;

const config: RouterConfigInput = {
  modelName: 'bench',
  strategy: 'neural',
  checkpoint: { uri: '/emulated' },
  precision: 'int8',
  maxDraftTokens: 8,
  onLLMUnavailable: 'Fail',
  llmTimeoutSeconds: 30,
  drainingPodUIDs: [],
};

const rows: Row[] = [];
const llmAlone = new Map<number, number>();
const say = (row: Row): void => {
  rows.push(row);
  const { mode, network, conversations, llmShare, tokensPerSecond, speedup, ideal, wastedCalls, lagP99Ms } = row;
  console.log(
    `${mode.padEnd(10)} ${network.padEnd(9)} ${String(conversations).padStart(3)} conversations  LLM ${(llmShare * 100).toFixed(1).padStart(5)} %  ` +
      `${tokensPerSecond.toFixed(1).padStart(7)} tokens/s  ${speedup.toFixed(2)}x (ideal ${ideal.toFixed(2)}x)  wasted calls ${(wastedCalls * 100).toFixed(0)} %  lag p99 ${lagP99Ms.toFixed(1)} ms`,
  );
};

/** How long a router is under load before it is measured, and while it is. */
const seconds = { warm: 1.5 * length, measured: 8 * length };

async function measure(
  router: ServedRouter,
  mode: RoutedMode,
  network: Row['network'],
  conversations: number,
  p = share,
): Promise<{ readonly row: Row; readonly reading: Reading }> {
  await router.configure({ ...config, ...modes[mode] });
  const reading = await underLoad(router.url, { conversations, tokens: 400, divergentPerMille: p * 1000 }, async () => {
    await sleep(seconds.warm * 1000);
    await router.reset();
    await sleep(seconds.measured * 1000);
    return router.read();
  });
  const { tokensPerSecond, llmShare } = reading;
  const { used, wasted } = reading.consultations;
  const row = {
    mode,
    network,
    conversations,
    llmShare,
    tokensPerSecond,
    speedup: tokensPerSecond / (llmAlone.get(conversations) ?? Number.NaN),
    ideal: idealSpeedup(mode, llmShare),
    wastedCalls: wasted / Math.max(1, used + wasted),
    lagP99Ms: reading.lagP99Ms,
    activeMsPerToken: reading.activeMsPerToken,
  };
  say(row);
  return { row, reading };
}

try {
  const [slmUrl, llmUrl] = await Promise.all([
    startEmulatedEngine('slm', step.slm, 0),
    startEmulatedEngine('llm', step.llm, (callSteps - 1) * step.llm),
  ]);
  const model = await makeBenchModel();
  const networkTimes = await measureNetwork(model);
  for (const { precision, batch, minMs, p50Ms } of networkTimes)
    console.log(
      `network    ${precision.padEnd(9)} ${String(batch).padStart(3)} rows           ${p50Ms.toFixed(2)} ms (least ${minMs.toFixed(2)})`,
    );

  keepProcessorsAwake();
  const baseline = (mode: 'llm' | 'slm', conversations: number, tokensPerSecond: number): void => {
    if (mode === 'llm') llmAlone.set(conversations, tokensPerSecond);
    say({
      mode,
      network: 'none',
      conversations,
      llmShare: mode === 'llm' ? 1 : 0,
      tokensPerSecond,
      speedup: tokensPerSecond / (llmAlone.get(conversations) ?? Number.NaN),
      ideal: mode === 'llm' ? 1 : step.llm / step.slm,
      wastedCalls: 0,
      lagP99Ms: 0,
      activeMsPerToken: 0,
    });
  };
  const emulated = await ServedRouter.start({ slmUrl, llmUrl, modelFolder: model.slmFolder, networkMs });
  // Long-running routers are what is measured, not the first seconds of one.
  const warmUp = async (router: ServedRouter): Promise<void> => {
    await router.configure({ ...config, ...modes.nested });
    await underLoad(router.url, { conversations: 8, tokens: 200, divergentPerMille: share * 1000 }, () => sleep(4000));
  };
  await warmUp(emulated);
  let overhead: readonly number[] = [];
  for (const conversations of [1, 8, 32]) {
    baseline(
      'llm',
      conversations,
      await alone(llmUrl, { conversations, tokens: Math.ceil(120 * length), divergentPerMille: share * 1000 }),
    );
    baseline(
      'slm',
      conversations,
      await alone(slmUrl, { conversations, tokens: Math.ceil(1000 * length), divergentPerMille: share * 1000 }),
    );
    for (const mode of ['plain', 'lookahead', 'nested'] as const) {
      const { reading } = await measure(emulated, mode, 'emulated', conversations);
      if (mode === 'plain' && conversations === 1) overhead = reading.overheadMs;
    }
  }
  const shares: { readonly mode: RoutedMode; readonly p: number; readonly speedup: number }[] = [];
  for (const mode of ['plain', 'nested'] as const) {
    for (const p of [0.05, 0.1, 0.2, 0.3, 0.4, ...(mode === 'nested' ? [0.5] : [])]) {
      const { row } = await measure(emulated, mode, 'emulated', 1, p);
      shares.push({ mode, p, speedup: row.speedup });
    }
  }
  // Above break-even the router says so, once it has seen enough.
  await measure(emulated, 'plain', 'emulated', 1, 0.6);
  const alarms = await underLoad(emulated.url, { conversations: 1, tokens: 400, divergentPerMille: 600 }, async () => {
    let said = (await emulated.status()).alarms;
    for (let seen = 0; said.length === 0 && seen < 60; seen++) {
      await sleep(500);
      said = (await emulated.status()).alarms;
    }
    return said;
  });
  emulated.stop();

  const real = await ServedRouter.start({ slmUrl, llmUrl, modelFolder: model.slmFolder, bundleFolder: model.bundleFolder, networkMs });
  const beforeMb = (await real.read()).rssMb;
  await real.configure({ ...config, ...modes.plain });
  const modelMb = (await real.read()).rssMb - beforeMb;
  await warmUp(real);
  const withNetwork = await measure(real, 'plain', 'int8', 1);
  for (const mode of ['lookahead', 'nested'] as const) await measure(real, mode, 'int8', 1);
  for (const conversations of [8, 32]) await measure(real, 'nested', 'int8', conversations);
  // What loading the network added is the model's: its weights, in the file and as the runtime packs them.
  const memoryMb = (await real.read()).rssMb - modelMb;
  real.stop();

  const speedup = (mode: Row['mode'], conversations: number, network: Row['network'] = 'emulated'): number =>
    rows.find((row) => row.mode === mode && row.conversations === conversations && row.network === network)?.speedup ?? Number.NaN;
  const best = (conversations: number): number =>
    Math.max(...(['plain', 'lookahead', 'nested'] as const).map((mode) => speedup(mode, conversations)));
  const lag = Math.max(...rows.filter(({ network }) => network === 'emulated').map(({ lagP99Ms }) => lagP99Ms));
  const int8 = (batch: number): number =>
    networkTimes.find((each) => each.precision === 'int8' && each.batch === batch)?.p50Ms ?? Number.NaN;
  const overheadMs = { p50: percentile(overhead, 0.5), p99: percentile(overhead, 0.99) };
  const aims: readonly (readonly [string, number, '>=' | '<=', number])[] = [
    ['plain, 1 conversation, speed-up', speedup('plain', 1), '>=', 2.6],
    ['plain with the real int8 network, speed-up', withNetwork.row.speedup, '>=', 2.45],
    ['look-ahead, 1 conversation, speed-up', speedup('lookahead', 1), '>=', 3.0],
    ['nested, 1 conversation, speed-up', speedup('nested', 1), '>=', 3.6],
    ['8 conversations, speed-up', best(8), '>=', 2.5],
    ['32 conversations, speed-up', best(32), '>=', 2.0],
    ['least speed-up for LLM shares of 5-40 % plain, 5-50 % nested', Math.min(...shares.map((each) => each.speedup)), '>=', 1.0],
    ['alarms above break-even', alarms.filter(({ reason }) => reason === 'SlowerThanLLM').length, '>=', 1],
    ['added time a token, p50 ms', overheadMs.p50, '<=', 0.1],
    ['added time a token, p99 ms', overheadMs.p99, '<=', 1],
    ['event-loop lag under load, p99 ms', lag, '<=', 5],
    ['int8 network, batch 1, ms', int8(1), '<=', 2.5],
    ['int8 network, batch 32, ms a token', int8(32) / 32, '<=', 0.3],
    ['memory above the model, MB', memoryMb, '<=', 200],
  ];
  const missed = aims.filter(([, value, sense, aim]) => !(sense === '>=' ? value >= aim : value <= aim));
  for (const [what, value, sense, aim] of aims)
    console.log(`${missed.some(([name]) => name === what) ? 'MISSED' : 'met   '} ${what}: ${value.toFixed(3)} (aim ${sense} ${aim})`);

  const results = {
    rows,
    overheadMs,
    eventLoopLagMs: { p99: lag },
    network: networkTimes,
    memoryMb,
    modelMb,
    aims: aims.map(([what, value, sense, aim]) => ({ what, value, aim: `${sense} ${aim}`, met: !missed.some(([name]) => name === what) })),
  };
  if (!values.quick) {
    mkdirSync(join(import.meta.dirname, 'results'), { recursive: true });
    writeFileSync(join(import.meta.dirname, 'results/router.json'), `${JSON.stringify(results, null, 2)}\n`);
  }
  process.exitCode = missed.length > 0 ? 1 : 0;
} finally {
  stopAll();
}
process.exit();
