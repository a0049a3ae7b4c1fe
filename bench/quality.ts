/**
 * Accuracy, LLM share and speed of each routing strategy on the 200 held-out problems, asked through the router's HTTP API before both
 * example models on the CPU engine. Fails unless entropy and neural routing lie above the straight line between the two models alone.
 *
 *   node bench/quality.ts [--problems N] [--router CHECKPOINT]     fewer problems, or another network: a trial, which writes nothing
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { StrategyName } from '../src/api/strategies.ts';
import { paretoSvg } from './pareto-svg.ts';
import { keepProcessorsAwake } from './processors.ts';
import { heldOutProblems, measure, percent, rounded, straightLine, type Way } from './quality/measure.ts';
import { withPair } from './quality/routed-pair.ts';

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

const root = join(import.meta.dirname, '..');
const conversations = 8;
/** Published step times of R1-Distill-Qwen 1.5B and 32B on two A800: an LLM call for one routed token takes 1.84 decode steps. */
const gpu = { slm: { decode: 3.1, extend: 3.1, prefill: 0.01 }, llm: { decode: 30, extend: 55, prefill: 0.05 } };
const ways: readonly Way[] = [
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

const { values } = parseArgs({ options: { problems: { type: 'string', default: '200' }, router: { type: 'string' } } });
const problems = heldOutProblems(Number(values.problems));

const checkpoint = values.router === undefined ? {} : { checkpoint: resolve(values.router) };

const measured = await withPair(checkpoint, async (url) => {
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
      `${way.join(' ').padEnd(14)} ${percent(accuracy)} right  ${percent(llmShare)} LLM  ${tokensPerSecond.toFixed(0).padStart(5)} tokens/s`,
    );
  }
  return rows;
});
keepProcessorsAwake();
const rows: Row[] = await withPair({ emulation: gpu, ...checkpoint }, async (url) => {
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

const straight = straightLine(
  rows.find(({ strategy }) => strategy === 'slm'),
  rows.find(({ strategy }) => strategy === 'llm'),
);
const below = rows.filter(
  ({ strategy, accuracy, llmShare }) => (strategy === 'entropy' || strategy === 'neural') && llmShare > 0 && accuracy <= straight(llmShare),
);

const machine = `${cpus().length} x ${cpus()[0]?.model ?? 'CPU'}, shared`;
if (problems.length === 200 && values.router === undefined) {
  mkdirSync(join(root, 'bench/results'), { recursive: true });
  writeFileSync(
    join(root, 'bench/results/quality.json'),
    `${JSON.stringify({ machine, node: process.version, problems: problems.length, conversations, emulated: gpu, rows }, null, 2)}\n`,
  );
  writeFileSync(
    join(root, 'docs/quality.svg'),
    paretoSvg(`Accuracy by threshold of the router network and of entropy (nats), ${problems.length} held-out problems`, rows),
  );
}
for (const { strategy, threshold, accuracy, llmShare } of below)
  console.error(
    `${strategy} ${threshold}: ${accuracy} right at ${llmShare} LLM is not above the straight line (${straight(llmShare).toFixed(3)})`,
  );
console.log(below.length === 0 ? 'routing lies above the straight line between SLM and LLM' : '');
process.exit(below.length === 0 ? 0 : 1);
