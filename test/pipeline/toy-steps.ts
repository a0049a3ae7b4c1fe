import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { Progress } from '../../src/pipeline/progress.ts';
import { makeSpec, runStep, type StepOutcome } from '../../src/pipeline/run-step.ts';
import { defaultTuning, type PartPlan, type StepContext, type StepDefinition } from '../../src/pipeline/step.ts';
import type { StepSpec } from '../../src/pipeline/step-identity.ts';
import { table } from '../../src/pipeline/table.ts';
import type { FileSystem } from '../../src/pipeline/workspace/file-system.ts';
import type { StepOwner } from '../../src/pipeline/workspace/owners.ts';
import { Workspace } from '../../src/pipeline/workspace/workspace.ts';

/** A pipeline of two small steps of the shape that the real ones have: numbers, and what is found out about each by an asynchronous request. */

const numbers = table({ data_id: 'int64', text: 'string' });
const findings = table({ data_id: 'int64', token_id: 'int64', text: 'string', vector: 'float32[]' });

const partOf = (index: number, size: number, last: number, tables: readonly string[]): PartPlan => ({
  name: `part-${String(index).padStart(5, '0')}`,
  firstQuestion: index * size,
  questions: Math.min(size, last - index * size),
  tables,
});

export const listNumbers: StepDefinition<{ count: number }> = {
  name: 'convert',
  format: 1,
  params: z.strictObject({ count: z.int().positive() }),
  inputs: [],
  engines: [],
  unit: 'numbers',
  openParts: () => 1,
  plan: ({ params: { count } }) =>
    Promise.resolve(Array.from({ length: Math.ceil(count / 8) }, (_, index) => partOf(index, 8, count, ['numbers']))),
  total: (_, parts) => Promise.resolve(parts.reduce((sum, { questions }) => sum + questions, 0)),
  async make({ firstQuestion, questions }, { context }, output) {
    const rows = await output.table('numbers', numbers);
    for (let key = firstQuestion; key < firstQuestion + questions; key++) {
      await rows.append({ data_id: key, text: `number ${key}` });
      context.progress.advance(1);
    }
    return { numbers: questions };
  },
};

/** @param request what is told of each finding that is not in the journal */
export function findOut(request: (key: string, signal: AbortSignal) => Promise<void>): StepDefinition<{ each: number }> {
  return {
    name: 'respond',
    format: 2,
    params: z.strictObject({ each: z.int().positive().default(3) }),
    inputs: ['convert'],
    engines: [],
    unit: 'findings',
    openParts: () => 2,
    plan: ({ inputs }) => {
      const count = inputs.of('convert').manifest.rows['numbers'] ?? 0;
      return Promise.resolve(Array.from({ length: Math.ceil(count / 4) }, (_, index) => partOf(index, 4, count, ['even', 'odd'])));
    },
    total: ({ params }, parts) => Promise.resolve(parts.reduce((sum, { questions }) => sum + questions * params.each, 0)),
    async make({ firstQuestion, questions }, { params, inputs, context }, output, journal) {
      const { progress, signal } = context;
      const found: { key: number; token: number; text: string }[] = [];
      const range = { from: firstQuestion, to: firstQuestion + questions };
      for await (const { data_id, text } of inputs.of('convert').rows('numbers', numbers, range))
        for (let token = 0; token < params.each; token++) found.push({ key: data_id, token, text });
      const ask = async ({ key, token, text }: (typeof found)[number]): Promise<void> => {
        const id = `${key}/${token}`;
        if (journal.get(id) !== undefined) {
          progress.resume(1);
          return;
        }
        await request(id, signal);
        await journal.record(id, `${text}, ${token}`);
        progress.advance(1, { tokens: 5 });
      };
      await Promise.all(found.map(ask));
      const tables = { even: await output.table('even', findings, { kind: 'even' }), odd: await output.table('odd', findings) };
      for (const { key, token } of found) {
        const row = {
          data_id: key,
          token_id: token,
          text: z.string().parse(journal.get(`${key}/${token}`)),
          vector: Float32Array.of(key, token, key / 7),
        };
        await (key % 2 === 0 ? tables.even : tables.odd).append(row);
      }
      return { findings: found.length, odd: found.filter(({ key }) => key % 2 === 1).length };
    },
  };
}

/** Answers come in another order each time. */
export const soon = async (_: string, signal: AbortSignal): Promise<void> => {
  await sleep(Math.random() * 2, undefined, { signal });
};

export interface ToyRun {
  readonly folder: string;
  readonly count: number;
  readonly fileSystem?: FileSystem;
  readonly shards?: number;
  readonly shard?: number;
  readonly request?: (key: string, signal: AbortSignal) => Promise<void>;
  readonly signal?: AbortSignal;
  /** The router it runs for. */
  readonly owner?: StepOwner;
}

export const silentLog = { info: () => undefined, warn: () => undefined, error: () => undefined };
export const processClock = {
  nowMs: () => performance.now(),
  pause: async (delayMs: number, signal: AbortSignal) => {
    await sleep(delayMs, undefined, { signal });
  },
};

export function toyContext({ folder, fileSystem, shard = 0, shards = 1, signal, owner }: ToyRun): StepContext {
  return {
    workspace: new Workspace(folder, fileSystem, owner),
    engines: {},
    tuning: defaultTuning,
    shard: { index: shard, count: shards },
    clock: processClock,
    log: silentLog,
    progress: new Progress(processClock),
    signal: signal ?? new AbortController().signal,
  };
}

/** Runs both steps, as far as this shard can. The first one is not sharded. */
export async function runToy(run: ToyRun): Promise<StepOutcome> {
  const first = makeSpec(listNumbers, { count: run.count }, {});
  const made = await runStep(listNumbers, first, toyContext({ ...run, shard: 0, shards: 1 }));
  if (!made.sealed) throw new Error('one shard makes all parts');
  const { hash, digest } = made.manifest;
  return runStep(findOut(run.request ?? soon), toySpec(hash, digest), toyContext(run));
}

export function toySpec(hash: string, digest: string): StepSpec {
  return makeSpec(findOut(soon), {}, { convert: { hash, digest } });
}
