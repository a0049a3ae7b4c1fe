/**
 * Accuracy, LLM share and speed of each routing strategy on the 200 held-out problems, asked through the router's HTTP API before both
 * example models on the CPU engine. Fails unless entropy and neural routing lie above the straight line between the two models alone.
 *
 *   node bench/quality.ts [--problems N]
 */
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { RouterConfigInput } from '../src/api/router-config.ts';
import type { StrategyName } from '../src/api/strategies.ts';
import type { Emulation } from '../src/engine/emulation.ts';
import { networkLoader } from '../src/cli/network-loader.ts';
import { startEngine } from '../src/engine/server.ts';
import { fixedConfig, fixedEndpoints, startRouter } from '../src/router/index.ts';
import { paretoSvg } from './pareto-svg.ts';
import { keepProcessorsAwake } from './processors.ts';

interface Problem {
  readonly question: string;
  readonly answer: string;
}

interface Row {
  readonly strategy: StrategyName;
  readonly threshold: number | null;
  readonly accuracy: number;
  readonly llmShare: number;
  /** All conversations together, at this machine's speed. */
  readonly tokensPerSecond: number;
  /** One conversation, with the step times of GPUs emulated. */
  readonly emulatedTokensPerSecond: number;
}

interface Answer {
  readonly choices: readonly { readonly message: { readonly content: string } }[];
  readonly usage: { readonly completion_tokens: number };
  readonly r2r: { readonly token_counts: Readonly<Record<'slm' | 'llm' | 'fallback', number>> };
}

const root = join(import.meta.dirname, '..');
const models = join(root, 'examples/models');
const conversations = 8;
/** Published step times of R1-Distill-Qwen 1.5B and 32B on two A800: an LLM call for one routed token takes 1.84 decode steps. */
const gpu = { slm: { decode: 3.1, extend: 3.1, prefill: 0.01 }, llm: { decode: 30, extend: 55, prefill: 0.05 } };
const ways: readonly (readonly [StrategyName, number?])[] = [
  ['slm'],
  ['entropy', 1.6],
  ['entropy', 1.2],
  ['entropy', 0.9],
  ['entropy', 0.6],
  ['entropy', 0.45],
  ['entropy', 0.3],
  ['entropy', 0.1],
  ['neural', 0.98],
  ['neural', 0.95],
  ['neural'],
  ['neural', 0.7],
  ['neural', 0.4],
  ['neural', 0.1],
  ['llm'],
];

const { values } = parseArgs({ options: { problems: { type: 'string', default: '200' } } });
const problems = readFileSync(join(models, 'problems/held-out.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .slice(0, Number(values.problems))
  .map((line) => JSON.parse(line) as Problem);

/** Starts engines and a router, and hands their address to `use`. */
async function withPair<T>(
  emulation: { readonly slm?: Emulation; readonly llm?: Emulation },
  use: (url: string) => Promise<T>,
): Promise<T> {
  const serve = (name: 'slm' | 'llm') =>
    startEngine(
      {
        modelPath: join(models, name),
        host: '127.0.0.1',
        port: 0,
        returnHiddenStates: true,
        ...(emulation[name] && { emulation: emulation[name] }),
      },
      (error) => {
        throw error;
      },
    );
  const [slm, llm] = await Promise.all([serve('slm'), serve('llm')]);
  const config: RouterConfigInput = {
    modelName: 'tiny',
    strategy: 'neural',
    checkpoint: { uri: join(models, 'router/router.pt') },
    maxDraftTokens: 32,
    onLLMUnavailable: 'Fail',
    llmTimeoutSeconds: 60,
    drainingPodUIDs: [],
  };
  const silent = { info: () => undefined, warn: console.warn, error: console.error };
  const router = await startRouter({
    slmUrl: slm.url,
    slmModelPath: join(models, 'slm'),
    llmModelPath: join(models, 'llm'),
    config: fixedConfig(JSON.stringify(config)),
    endpoints: fixedEndpoints([llm.url]),
    loadNetwork: networkLoader({
      slmFolder: join(models, 'slm'),
      cacheFolder: mkdtempSync(join(tmpdir(), 'r2r-quality-')),
      hub: { endpoint: '' },
      threads: 1,
      log: silent,
    }),
    log: silent,
    host: '127.0.0.1',
    port: 0,
    adminHost: '127.0.0.1',
    adminPort: 0,
    drainDelayMs: 0,
  });
  try {
    while (!router.readiness().ready) await new Promise((resolve) => setTimeout(resolve, 50));
    return await use(router.url);
  } finally {
    await router.stop();
    await Promise.all([slm.close(), llm.close()]);
  }
}

async function ask(url: string, { question }: Problem, strategy: StrategyName, threshold: number | undefined): Promise<Answer> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'tiny',
      messages: [{ role: 'user', content: question }],
      max_tokens: 300,
      r2r: { strategy, ...(threshold !== undefined && { threshold }) },
    }),
  });
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  return (await response.json()) as Answer;
}

/** Asks all of `asked`, `concurrency` at a time. */
async function measure(url: string, asked: readonly Problem[], concurrency: number, [strategy, threshold]: (typeof ways)[number]) {
  const started = performance.now();
  const next = asked.values();
  let [right, tokens, fromLlm] = [0, 0, 0];
  const worker = async (): Promise<void> => {
    for (const problem of next) {
      const { choices, usage, r2r } = await ask(url, problem, strategy, threshold);
      if (/answer is (\d+)/.exec(choices[0]?.message.content ?? '')?.[1] === problem.answer) right++;
      tokens += usage.completion_tokens;
      fromLlm += r2r.token_counts.llm;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return {
    accuracy: right / asked.length,
    llmShare: fromLlm / tokens,
    tokensPerSecond: tokens / ((performance.now() - started) / 1000),
  };
}

const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

const measured = await withPair({}, async (url) => {
  const rows: Omit<Row, 'emulatedTokensPerSecond'>[] = [];
  for (const way of ways) {
    const { accuracy, llmShare, tokensPerSecond } = await measure(url, problems, conversations, way);
    rows.push({
      strategy: way[0],
      threshold: way[1] ?? null,
      accuracy: rounded(accuracy, 4),
      llmShare: rounded(llmShare, 4),
      tokensPerSecond: rounded(tokensPerSecond, 1),
    });
    console.log(
      `${way.join(' ').padEnd(14)} ${(accuracy * 100).toFixed(1).padStart(5)} % right  ${(llmShare * 100).toFixed(1).padStart(5)} % LLM  ${tokensPerSecond.toFixed(0).padStart(5)} tokens/s`,
    );
  }
  return rows;
});
keepProcessorsAwake();
const rows: Row[] = await withPair(gpu, async (url) => {
  const timed: Row[] = [];
  for (const [index, way] of ways.entries()) {
    const { tokensPerSecond } = await measure(url, problems.slice(0, 5), 1, way);
    const row = measured[index];
    if (row) timed.push({ ...row, emulatedTokensPerSecond: rounded(tokensPerSecond, 1) });
    console.log(
      `${way.join(' ').padEnd(14)} ${tokensPerSecond.toFixed(1).padStart(5)} tokens/s of one conversation with emulated GPU step times`,
    );
  }
  return timed;
});

const [slm, llm] = [rows.find(({ strategy }) => strategy === 'slm'), rows.find(({ strategy }) => strategy === 'llm')];
if (!slm || !llm) throw new Error('both models alone are part of the measurement');
/** What mixing whole answers of the two models would solve at this LLM share. */
const straight = (share: number): number =>
  slm.accuracy + ((share - slm.llmShare) / (llm.llmShare - slm.llmShare)) * (llm.accuracy - slm.accuracy);
const below = rows.filter(
  ({ strategy, accuracy, llmShare }) => (strategy === 'entropy' || strategy === 'neural') && accuracy <= straight(llmShare),
);

const machine = `${cpus().length} x ${cpus()[0]?.model ?? 'CPU'}, shared`;
mkdirSync(join(root, 'bench/results'), { recursive: true });
writeFileSync(
  join(root, 'bench/results/quality.json'),
  `${JSON.stringify({ machine, node: process.version, problems: problems.length, conversations, emulated: gpu, rows }, null, 2)}\n`,
);
writeFileSync(
  join(root, 'docs/quality.svg'),
  paretoSvg(`Accuracy by threshold of the router network and of entropy (nats), ${problems.length} held-out problems`, rows),
);
for (const { strategy, threshold, accuracy, llmShare } of below)
  console.error(
    `${strategy} ${threshold}: ${accuracy} right at ${llmShare} LLM is not above the straight line (${straight(llmShare).toFixed(3)})`,
  );
console.log(below.length === 0 ? 'routing lies above the straight line between SLM and LLM' : '');
process.exit(below.length === 0 ? 0 : 1);
