import { percent } from '../quality/measure.ts';
import { stepNames } from '../../src/pipeline/step-identity.ts';
import type { CurvePoint, PipelineResults } from './results.ts';

const aim = { accuracyOfLlm: 0.95, llmShare: 0.2, recall: 0.95, seconds: 15 * 60, memoryGrowth: 1.1 } as const;
/** Its memory is a row group, which 100 questions of the tiny pair do not fill: it grows until one is full, and no further. */
const constructMemoryGrowth = 1.25;

/** What was not reached, each in a sentence. */
export function aims(results: PipelineResults): readonly string[] {
  const { r2r, slm, llm, recall, seconds, curves, peakMiBByQuestions } = results;
  const all = seconds.labelling + seconds.training;
  const missed: string[] = [];
  const expect = (reached: boolean, text: string): void => {
    if (!reached) missed.push(text);
  };
  expect(
    r2r.accuracy >= aim.accuracyOfLlm * llm.accuracy,
    `R2R is right in ${percent(r2r.accuracy)}, less than ${percent(aim.accuracyOfLlm)} of the LLM's ${percent(llm.accuracy)}`,
  );
  expect(r2r.llmShare <= aim.llmShare, `the LLM supplies ${percent(r2r.llmShare)} of the tokens, more than ${percent(aim.llmShare)}`);
  expect(recall >= aim.recall, `recall ${percent(recall)} is below ${percent(aim.recall)}`);
  expect(all <= aim.seconds, `labelling and training took ${all.toFixed(0)} s, more than ${aim.seconds} s`);
  for (const { share, network, rule } of comparison(slm.accuracy, curves))
    expect(
      network >= rule - 1e-9,
      `at ${percent(share)} LLM tokens the network's curve (${percent(network)} right) is below entropy's (${percent(rule)})`,
    );
  for (const step of stepNames) {
    const sizes = Object.entries(peakMiBByQuestions[step]).sort(([a], [b]) => Number(a) - Number(b));
    const [before, last] = sizes.slice(-2).map(([, size]) => size);
    const growth = step === 'construct' ? constructMemoryGrowth : aim.memoryGrowth;
    if (before !== undefined && last !== undefined)
      expect(last <= growth * before, `${step} takes ${last} MiB for ten times the questions that took ${before} MiB`);
  }
  return missed;
}

/** A curve at a share between two of its points: where a mix of the two thresholds, over requests, comes out. Beyond its last point it stays. */
export function accuracyAt(share: number, curve: readonly CurvePoint[]): number {
  const points = [...curve].sort((a, b) => a.llmShare - b.llmShare);
  const next = points.findIndex(({ llmShare }) => llmShare >= share);
  const [before, after] = [points[next < 0 ? points.length - 1 : Math.max(0, next - 1)], points[next]];
  if (!before || !after || after.llmShare === before.llmShare) return (after ?? before)?.accuracy ?? 0;
  return before.accuracy + ((share - before.llmShare) / (after.llmShare - before.llmShare)) * (after.accuracy - before.accuracy);
}

/**
 * Both curves, from the SLM alone on, at each point of either: as they are straight in between, one that is at least as high in all of these is so
 * everywhere, up to what may be spent at all.
 */
function comparison(slmAccuracy: number, { neural, entropy }: PipelineResults['curves']) {
  const alone: CurvePoint = { threshold: Infinity, accuracy: slmAccuracy, llmShare: 0 };
  const shares = [...neural, ...entropy].map(({ llmShare }) => llmShare).filter((share) => share > 0 && share <= aim.llmShare);
  return [...new Set(shares)]
    .sort((a, b) => a - b)
    .map((share) => ({ share, network: accuracyAt(share, [alone, ...neural]), rule: accuracyAt(share, [alone, ...entropy]) }));
}
