/**
 * From questions to a router, outside a cluster: labels the example's 1,000 questions with the tiny models, trains a router on them, and asks the
 * 200 held-out problems. Each server and each step is a process of its own, as in a pod. Writes bench/results/pipeline.json and fails when an
 * aim is missed: `npm run bench:pipeline`, ten minutes on two idle cores.
 *
 *   node bench/pipeline.ts [--questions N] [--problems N]     fewer of them: a trial, which writes nothing
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { stepNames } from '../src/pipeline/step-identity.ts';
import { aim, aims } from './pipeline/aims.ts';
import { compareFrontiers, compareSolved, type Comparison, type SolvedPoint } from './pipeline/curves.ts';
import { label, type Labelled } from './pipeline/labelling.ts';
import { startEngineProcess, stopAll } from './pipeline/processes.ts';
import { byQuestions, labelCosts, type PipelineResults } from './pipeline/results.ts';
import { train, training } from './pipeline/training.ts';
import { heldOutProblems, measure, percent, rounded, type Measured, type Way } from './quality/measure.ts';
import { models, withPair } from './quality/routed-pair.ts';

const { values } = parseArgs({ options: { questions: { type: 'string', default: '1000' }, problems: { type: 'string', default: '200' } } });
const questions = Number(values.questions);
const problems = heldOutProblems(Number(values.problems));
/** Besides all of them: a step's memory must not follow their number. */
const fewer = [10, 100].filter((count) => count < questions);
const curves: Readonly<Record<'neural' | 'entropy', readonly Way[]>> = {
  neural: [0.77, 0.74, 0.7, 0.65, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, undefined, 0.01, 0.003, 0.001, 0.00025].map((threshold): Way =>
    threshold === undefined ? ['neural'] : ['neural', threshold],
  ),
  entropy: [2.15, 2, 1.8, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1.05, 0.9, 0.75, 0.6, 0.5, 0.45].map((nats): Way => ['entropy', nats]),
};

const folder = mkdtempSync(join(tmpdir(), 'r2r-bench-pipeline-'));
process.once('exit', () => {
  stopAll();
  rmSync(folder, { recursive: true, force: true });
});

const engines = {
  slm: await startEngineProcess(join(models, 'slm'), ['--enable-return-hidden-states']),
  llm: await startEngineProcess(join(models, 'llm'), []),
  verifier: await startEngineProcess(join(models, 'verifier'), []),
};
const runs = new Map<number, Labelled>();
for (const count of [...fewer, questions]) {
  const run = await label(join(folder, `labels-${count}`), count, engines);
  runs.set(count, run);
  for (const step of stepNames) {
    const { seconds, peakMiB, cpuSeconds } = run.steps[step];
    console.log(
      `${count} questions  ${step.padEnd(9)} ${seconds.toFixed(1).padStart(6)} s  own CPU ${cpuSeconds.toFixed(1)} s  ${peakMiB.toFixed(0)} MiB`,
    );
  }
}
const labelled = runs.get(questions);
if (!labelled) throw new Error('all questions were labelled');
stopAll();

const trained = await train(labelled.folder, join(models, 'slm'), folder);
console.log(
  `trained in ${trained.seconds.toFixed(0)} s: threshold ${trained.threshold.toFixed(3)}, recall ${percent(trained.recall)}, positive ${percent(trained.positiveRate)}`,
);

const measured = await withPair({ checkpoint: trained.bundle }, async (url) => {
  const ask = async (way: Way): Promise<Measured> => {
    const found = await measure(url, problems, 8, way);
    console.log(`${way.join(' ').padEnd(14)} ${percent(found.accuracy)} right  ${percent(found.llmShare)} LLM`);
    return found;
  };
  const all = async (ways: readonly Way[]) => {
    const points: (Measured & { readonly threshold: number })[] = [];
    for (const way of ways) points.push({ ...(await ask(way)), threshold: way[1] ?? trained.threshold });
    return points;
  };
  return { slm: await ask(['slm']), llm: await ask(['llm']), neural: await all(curves.neural), entropy: await all(curves.entropy) };
});
const own = measured.neural.find(({ threshold }) => threshold === trained.threshold);
if (!own) throw new Error("the router's own threshold was measured");

const { identical = 0, neutral = 0, divergent = 0, unknown = 0, rows = 0 } = labelled.steps.construct.counts;
const labellingSeconds = stepNames.reduce((sum, step) => sum + labelled.steps[step].seconds, 0);
const point = ({ threshold, accuracy, llmShare }: SolvedPoint) => ({
  threshold: rounded(threshold, 5),
  accuracy: rounded(accuracy, 4),
  llmShare: rounded(llmShare, 4),
});
/** With its ends: thresholds that route nothing and everything are the models alone, whatever routes. */
const whole = (curve: readonly SolvedPoint[]): readonly SolvedPoint[] => [
  { ...measured.slm, threshold: Infinity },
  ...curve,
  { ...measured.llm, threshold: 0 },
];
const [network, entropy] = [whole(measured.neural), whole(measured.entropy)];
const compared = (at: Comparison): Comparison => ({
  llmShare: rounded(at.llmShare, 4),
  network: rounded(at.network, 4),
  entropy: rounded(at.entropy, 4),
});
const comparison = {
  frontiers: compareFrontiers(network, entropy, aim.llmShare).map(compared),
  thresholds: compareSolved(network, entropy, aim.llmShare).map((at) => ({ ...compared(at), standardError: rounded(at.standardError, 4) })),
};
const utilisation = (step: 'respond' | 'prefill' | 'continue' | 'verify') => rounded(labelled.steps[step].engineUtilisation ?? 0, 3);
const results: PipelineResults = {
  machine: `${cpus().length} x ${cpus()[0]?.model ?? 'CPU'}, shared`,
  node: process.version,
  questions,
  problems: problems.length,
  distribution: { identical, neutral, divergent, unknown },
  recall: rounded(trained.recall, 4),
  positiveRate: rounded(trained.positiveRate, 4),
  threshold: rounded(trained.threshold, 4),
  labelsPerSecond: rounded(rows / labellingSeconds, 1),
  engineUtilisation: {
    respond: utilisation('respond'),
    prefill: utilisation('prefill'),
    continue: utilisation('continue'),
    verify: utilisation('verify'),
  },
  r2r: { accuracy: rounded(own.accuracy, 4), llmShare: rounded(own.llmShare, 4) },
  llm: { accuracy: rounded(measured.llm.accuracy, 4) },
  slm: { accuracy: rounded(measured.slm.accuracy, 4) },
  curves: { neural: measured.neural.map(point), entropy: measured.entropy.map(point) },
  comparison,
  seconds: { labelling: rounded(labellingSeconds, 1), training: rounded(trained.seconds, 1) },
  training,
  costPerLabel: labelCosts(labelled),
  peakMiBByQuestions: byQuestions(runs),
};
for (const { llmShare, network, entropy } of comparison.frontiers)
  console.log(`the best for ${percent(llmShare)} LLM tokens: network ${percent(network)} right, entropy ${percent(entropy)}`);
const missed = aims(results);
for (const each of missed) console.error(`missed: ${each}`);
if (questions === 1000 && problems.length === 200) {
  const target = join(import.meta.dirname, 'results');
  mkdirSync(target, { recursive: true });
  writeFileSync(join(target, 'pipeline.json'), `${JSON.stringify(results, null, 2)}\n`);
} else console.log(JSON.stringify(results, null, 2));
process.exit(missed.length === 0 ? 0 : 1);
