import { stepNames, type StepName } from '../../src/pipeline/step-identity.ts';
import { rounded } from '../quality/measure.ts';
import type { Comparison, PairedComparison } from './curves.ts';
import type { Labelled, StepRun } from './labelling.ts';
import type { training } from './training.ts';

export interface CurvePoint {
  readonly threshold: number;
  readonly accuracy: number;
  readonly llmShare: number;
}

/** bench/results/pipeline.json */
export interface PipelineResults {
  readonly machine: string;
  readonly node: string;
  readonly questions: number;
  readonly problems: number;
  /** Labels by class. */
  readonly distribution: Readonly<Record<'identical' | 'neutral' | 'divergent' | 'unknown', number>>;
  /** At the threshold, on rows that the router was not trained on. */
  readonly recall: number;
  readonly positiveRate: number;
  readonly threshold: number;
  /** Of all six steps together. */
  readonly labelsPerSecond: number;
  readonly engineUtilisation: Readonly<Record<'respond' | 'prefill' | 'continue' | 'verify', number>>;
  readonly r2r: { readonly accuracy: number; readonly llmShare: number };
  readonly llm: { readonly accuracy: number };
  readonly slm: { readonly accuracy: number };
  readonly curves: Readonly<Record<'neural' | 'entropy', readonly CurvePoint[]>>;
  /** The network beside entropy, up to the share that may be spent: the best that thresholds and mixes of two can do, and each threshold by itself. */
  readonly comparison: { readonly frontiers: readonly Comparison[]; readonly thresholds: readonly PairedComparison[] };
  readonly seconds: { readonly labelling: number; readonly training: number };
  readonly training: typeof training;
  /** CPU milliseconds for each label: of the step's own process, and of the model servers meanwhile. */
  readonly costPerLabel: Readonly<Record<StepName, { readonly ownCpuMs: number; readonly engineCpuMs: number }>>;
  /** Largest resident set of each step's process, by number of questions. */
  readonly peakMiBByQuestions: Readonly<Record<StepName, Readonly<Record<string, number>>>>;
}

const forEachStep = <T>(value: (step: StepName) => T) =>
  Object.fromEntries(stepNames.map((step) => [step, value(step)])) as Record<StepName, T>;

export function labelCosts({ steps }: Labelled): PipelineResults['costPerLabel'] {
  const labels = steps.construct.counts['rows'] ?? 0;
  const cost = ({ cpuSeconds, engineCpuSeconds }: StepRun) => ({
    ownCpuMs: rounded((cpuSeconds * 1000) / labels, 3),
    engineCpuMs: rounded((engineCpuSeconds * 1000) / labels, 3),
  });
  return forEachStep((step) => cost(steps[step]));
}

export function byQuestions(runs: ReadonlyMap<number, Labelled>): PipelineResults['peakMiBByQuestions'] {
  return forEachStep((step) => Object.fromEntries([...runs].map(([count, { steps }]) => [count, Math.round(steps[step].peakMiB)])));
}
