import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeSpec } from '../../src/pipeline/run-step.ts';
import type { EngineRole } from '../../src/pipeline/step.ts';
import { stepFolderName, stepNames, type StepInput, type StepName } from '../../src/pipeline/step-identity.ts';
import { stepDefinition } from '../../src/pipeline/steps.ts';
import { runR2R, type EngineProcess } from './processes.ts';

export type Engines = Readonly<Record<EngineRole, EngineProcess>>;

/** What one step's process did. */
export interface StepRun {
  readonly seconds: number;
  readonly peakMiB: number;
  /** Of the step's own process. */
  readonly cpuSeconds: number;
  /** Of the model servers meanwhile. */
  readonly engineCpuSeconds: number;
  /** Share of the calls that may be in flight; undefined for a step without a server. */
  readonly engineUtilisation: number | undefined;
  readonly counts: Readonly<Record<string, number>>;
}

export interface Labelled {
  readonly steps: Readonly<Record<StepName, StepRun>>;
  /** Holds the label set's Parquet files. */
  readonly folder: string;
}

/** The preset `tiny`, as examples/r2rrouter.yaml has it. */
function paramsOf(questions: number): Readonly<Record<StepName, object>> {
  const pair = { slm: { name: 'slm' }, llm: { name: 'llm' } };
  return {
    convert: { datasets: ['tiny'], numItems: questions },
    respond: { models: pair, writer: 'slm' },
    prefill: { models: { slm: pair.slm } },
    continue: { models: pair },
    verify: { models: { verifier: { name: 'verifier' } }, prompt: 'plain', maxNewTokens: 1 },
    construct: {},
  };
}

/** Labels so many questions, each step as a process of its own, as a Job runs it. */
export async function label(workspace: string, questions: number, engines: Engines): Promise<Labelled> {
  const params = paramsOf(questions);
  const done: Partial<Record<StepName, StepInput>> = {};
  const steps: Partial<Record<StepName, StepRun>> = {};
  mkdirSync(workspace, { recursive: true });
  for (const step of stepNames) {
    const definition = await stepDefinition(step);
    const [spec, words] = [join(workspace, `${step}.json`), join(workspace, `${step}.words`)];
    writeFileSync(spec, JSON.stringify(makeSpec(definition, params[step], done)));
    const servers = Object.entries(engines).flatMap(([role, { url, folder }]) => [
      '--engine',
      `${role}=${url}`,
      '--model',
      `${role}=${folder}`,
    ]);
    const before = cpuOf(engines);
    const run = await runR2R([
      ...['pipeline', 'run', '--workspace', workspace, '--spec', spec, '--status-port', '0', '--termination-log', words],
      ...(definition.engines.length > 0 ? servers : []),
    ]);
    const { hash, digest, counts } = JSON.parse(readFileSync(words, 'utf8')) as StepInput & Pick<StepRun, 'counts'>;
    done[step] = { hash, digest };
    const { seconds, peakMiB, cpuSeconds } = run;
    const engineUtilisation = definition.engines.length > 0 ? utilisationIn(run.stdout) : undefined;
    steps[step] = { seconds, peakMiB, cpuSeconds, engineCpuSeconds: cpuOf(engines) - before, engineUtilisation, counts };
  }
  const { construct } = done;
  if (!construct) throw new Error('construct is a step');
  return { steps: steps as Labelled['steps'], folder: join(workspace, stepFolderName('construct', construct.hash), 'data') };
}

const cpuOf = (engines: Engines): number => Object.values(engines).reduce((sum, engine) => sum + engine.cpuSeconds(), 0);

/** In the last report of a step's progress. */
function utilisationIn(log: string): number {
  return Number([...log.matchAll(/"engineUtilisation":([\d.e-]+)/g)].at(-1)?.[1] ?? Number.NaN);
}
