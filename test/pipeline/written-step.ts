import { z } from 'zod';
import { makeSpec, runStep } from '../../src/pipeline/run-step.ts';
import type { StepInput, StepName } from '../../src/pipeline/step-identity.ts';
import type { Counts, StepDefinition } from '../../src/pipeline/step.ts';
import type { Row, TableSchema } from '../../src/pipeline/table.ts';
import { toyContext } from './toy-steps.ts';

/** A table of a part: its rows, as a step before would have written them. */
export interface WrittenTable<S extends TableSchema = TableSchema> {
  readonly name: string;
  readonly schema: S;
  readonly rows: readonly Row<S>[];
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface WrittenPart {
  readonly firstQuestion: number;
  readonly questions: number;
  readonly tables: readonly WrittenTable[];
  readonly counts?: Counts;
}

/** Writes a finished step into a workspace, for those that read it. @returns its identity */
export async function writeStep(folder: string, name: StepName, parts: readonly WrittenPart[]): Promise<StepInput> {
  const plans = parts.map(({ firstQuestion, questions, tables }) => ({
    name: `part-${String(firstQuestion).padStart(5, '0')}`,
    firstQuestion,
    questions,
    tables: tables.map((table) => table.name),
  }));
  const definition: StepDefinition<{ content: string }> = {
    name,
    format: 1,
    params: z.strictObject({ content: z.string() }),
    inputs: [],
    engines: [],
    unit: 'rows',
    openParts: () => 1,
    plan: () => Promise.resolve(plans),
    total: () => Promise.resolve(0),
    async make({ firstQuestion }, _, output) {
      const part = parts.find((each) => each.firstQuestion === firstQuestion);
      for (const { name: table, schema, rows, metadata } of part?.tables ?? []) {
        const writer = await output.table(table, schema, metadata);
        for (const row of rows) await writer.append(row);
      }
      return part?.counts ?? {};
    },
  };
  const content = JSON.stringify(parts, (_, value: unknown) => (ArrayBuffer.isView(value) ? [...(value as Uint8Array)] : value));
  const made = await runStep(definition, makeSpec(definition, { content }, {}), toyContext({ folder, count: 0 }));
  if (!made.sealed) throw new Error('one shard makes all parts');
  const { hash, digest } = made.manifest;
  return { hash, digest };
}
