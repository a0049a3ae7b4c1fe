import { ParquetTableWriter } from '../parquet/table-writer.ts';
import type { PartOutput, TableWriter } from '../step.ts';
import type { Row, TableSchema } from '../table.ts';
import { AtomicFile } from './atomic-file.ts';
import type { FileSystem } from './file-system.ts';
import type { PartFile } from './manifest.ts';

interface OpenTable {
  readonly file: AtomicFile;
  readonly writer: Pick<ParquetTableWriter<TableSchema>, 'rows' | 'finish'>;
}

/** The files of a part under way. In their places only when all of them are whole. */
export class PartFiles implements PartOutput {
  readonly #fileSystem: FileSystem;
  readonly #part: string;
  readonly #paths: ReadonlyMap<string, string>;
  readonly #open = new Map<string, OpenTable>();

  /** @param paths by table */
  constructor(fileSystem: FileSystem, part: string, paths: ReadonlyMap<string, string>) {
    this.#fileSystem = fileSystem;
    this.#part = part;
    this.#paths = paths;
  }

  async table<S extends TableSchema>(name: string, schema: S, metadata: Readonly<Record<string, string>> = {}): Promise<TableWriter<S>> {
    const path = this.#paths.get(name);
    if (path === undefined || this.#open.has(name)) throw new Error(`part ${this.#part} has no table ${name} to be written now`);
    const file = await AtomicFile.create(this.#fileSystem, path);
    const writer = new ParquetTableWriter(file, schema, metadata);
    this.#open.set(name, { file, writer });
    return { append: (row: Row<S>) => writer.append(row) };
  }

  /** Ends all tables and puts the files in their places, in the order of the plan. */
  async complete(): Promise<readonly Omit<PartFile, 'file'>[]> {
    const tables = [...this.#paths.keys()].map((table) => {
      const open = this.#open.get(table);
      if (!open) throw new Error(`part ${this.#part} lacks its table ${table}`);
      return { table, ...open };
    });
    for (const { writer } of tables) await writer.finish();
    const files: Omit<PartFile, 'file'>[] = [];
    for (const { table, file, writer } of tables) {
      const { bytes } = file;
      files.push({ table, bytes, sha256: await file.complete(), rows: writer.rows });
    }
    return files;
  }

  /** Removes what is not complete. */
  async discard(): Promise<void> {
    for (const { file } of this.#open.values()) await file.discard();
  }
}
