import { percent } from '../quality/measure.ts';
import { stepNames } from '../../src/pipeline/step-identity.ts';
import type { PipelineResults } from './results.ts';

export const aim = { accuracyOfLlm: 0.95, llmShare: 0.2, recall: 0.95, seconds: 15 * 60, memoryGrowth: 1.1 } as const;

/** What was not reached, each in a sentence. */
export function aims(results: PipelineResults): readonly string[] {
  const { r2r, llm, recall, seconds, comparison, peakMiBByQuestions } = results;
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
  for (const { llmShare, network, entropy } of comparison.frontiers)
    expect(
      network > entropy,
      `at ${percent(llmShare)} LLM tokens the network's curve (${percent(network)} right) is not above entropy's (${percent(entropy)})`,
    );
  for (const { llmShare, network, entropy, standardError } of comparison.thresholds)
    expect(
      network >= entropy - 1e-9,
      `at ${percent(llmShare)} LLM tokens the network's threshold (${percent(network)} right) is worse than entropy's (${percent(entropy)}; standard error ${percent(standardError)})`,
    );
  for (const step of stepNames) {
    const sizes = Object.entries(peakMiBByQuestions[step]).sort(([a], [b]) => Number(a) - Number(b));
    const [before, last] = sizes.slice(-2).map(([, size]) => size);
    if (before !== undefined && last !== undefined)
      expect(last <= aim.memoryGrowth * before, `${step} takes ${last} MiB for ten times the questions that took ${before} MiB`);
  }
  return missed;
}
