import { PipelineError } from './errors.ts';
import { readTable, readTableMetadata } from './parquet/table-reader.ts';
import type { PartPlan, RowsOptions, StepInputs, StepReader } from './step.ts';
import type { StepName, StepSpec } from './step-identity.ts';
import type { Row, TableSchema } from './table.ts';
import type { PartFile, StepManifest } from './workspace/manifest.ts';
import type { Workspace } from './workspace/workspace.ts';

/** The steps that a step reads. @throws PipelineError `PIPELINE_INPUT_MISSING` */
export async function openInputs(workspace: Workspace, spec: StepSpec, names: readonly StepName[]): Promise<StepInputs> {
  const readers = new Map<StepName, StepReader>();
  for (const name of names) {
    const input = spec.inputs[name];
    if (!input) {
      const problem = `it says nothing of its input ${name}`;
      throw new PipelineError('PIPELINE_INPUT_MISSING', problem, 'give the hash and digest of that step', { field: `inputs.${name}` });
    }
    const { folder, manifest } = await workspace.input(name, input);
    readers.set(name, new FinishedStep(workspace, folder, manifest));
  }
  return {
    of(step) {
      const reader = readers.get(step);
      if (!reader) throw new Error(`${step} is no input of ${spec.step}`);
      return reader;
    },
  };
}

/** Reads the output of a step that is done. */
export class FinishedStep implements StepReader {
  readonly manifest: StepManifest;
  readonly #workspace: Workspace;
  readonly #folder: string;

  constructor(workspace: Workspace, folder: string, manifest: StepManifest) {
    this.#workspace = workspace;
    this.#folder = folder;
    this.manifest = manifest;
  }

  parts(from = 0, to = Infinity): readonly PartPlan[] {
    return this.#parts(from, to).map(({ part, firstQuestion, questions, files }) => ({
      name: part,
      firstQuestion,
      questions,
      tables: files.map(({ table }) => table),
    }));
  }

  async *rows<S extends TableSchema>(table: string, schema: S, options: RowsOptions<S> = {}): AsyncGenerator<Row<S>> {
    const { from = 0, to = Infinity, columns } = options;
    // data_id tells which rows are wanted
    const read = columns && [...new Set(['data_id', ...columns])];
    for (const { part, files } of this.#parts(from, to)) {
      const path = await this.#checked(part, files, table);
      for await (const row of readTable(path, schema, read)) {
        const key = Number((row as Readonly<Record<string, unknown>>)['data_id']);
        if (key >= from && key < to) yield row;
      }
    }
  }

  async metadata(table: string): Promise<Readonly<Record<string, string>>> {
    const [first] = this.manifest.parts;
    return first ? readTableMetadata(await this.#checked(first.part, first.files, table)) : {};
  }

  #parts(from: number, to: number): readonly StepManifest['parts'][number][] {
    return this.manifest.parts.filter(({ firstQuestion, questions }) => firstQuestion < to && firstQuestion + questions > from);
  }

  #checked(part: string, files: readonly PartFile[], table: string): Promise<string> {
    const file = files.find((each) => each.table === table);
    if (!file) throw new Error(`${this.manifest.step} has no table ${table}`);
    return this.#workspace.checkedFile(this.#folder, this.manifest, part, file);
  }
}
