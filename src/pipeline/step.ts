import type { z } from 'zod';
import type { SglangClient } from '../sglang/index.ts';
import type { Tokenizer } from '../model/tokenizer.ts';
import type { EngineCalls } from './engine-calls.ts';
import type { Log } from './log.ts';
import type { Progress } from './progress.ts';
import type { JsonValue, StepName } from './step-identity.ts';
import type { Row, TableSchema } from './table.ts';
import type { StepManifest } from './workspace/manifest.ts';
import type { Workspace } from './workspace/workspace.ts';

/** A step of the pipeline: its output is a list of parts that depends on its inputs and parameters alone. */
export interface StepDefinition<P> {
  readonly name: StepName;
  /** Raised whenever the same inputs would give another output than before. */
  readonly format: number;
  readonly params: z.ZodType<P>;
  readonly inputs: readonly StepName[];
  readonly engines: readonly EngineRole[];
  /** What progress counts. */
  readonly unit: string;
  /** Parts under way at a time: enough that the engines have work when one of them ends. */
  openParts(tuning: Tuning): number;
  /** Looks for what is wrong with models, columns and sources before anything is written. */
  check?(work: StepWork<P>): Promise<void>;
  /** The parts, in order. Every shard makes the same list, whatever has been done already. */
  plan(work: StepWork<P>): Promise<readonly PartPlan[]>;
  /** Units in these parts, from what the inputs' manifests tell. */
  total(work: StepWork<P>, parts: readonly PartPlan[]): Promise<number>;
  /** Writes a part's tables, rows in the order of their keys, and returns what it counted. Reads the journal for what is done already. */
  make(part: PartPlan, work: StepWork<P>, output: PartOutput, journal: PartJournal): Promise<Counts>;
  /** When the step as a whole is of no use. @default never */
  readonly acceptance?: Acceptance<P>;
}

/** What a step's counts must be for it to be done. */
export interface Acceptance<P> {
  /**
   * Refuses the step by the summed counts of finished parts: once it throws, no counts of further parts may make it good, so that all shards
   * come to the same in whatever order they run.
   *
   * @throws PipelineError
   */
  check(counts: Counts, work: StepWork<P>): void;
  /** Whether a part had its share in that, and is made again when the step is run again. */
  isAtFault(counts: Counts): boolean;
}

/** Consecutive questions, and the tables that are made of them. */
export interface PartPlan {
  /** File name without ending, unique in the step: `part-00003`. */
  readonly name: string;
  /** data_id of the first question. */
  readonly firstQuestion: number;
  /** Number of data_ids from there on, whether or not all of them have rows. */
  readonly questions: number;
  /** A part with one table has the file `<name>.parquet`, one with several `<name>-<table>.parquet`. */
  readonly tables: readonly string[];
}

export type Counts = Readonly<Record<string, number>>;

export interface PartOutput {
  /** A table of the part; each of its tables is written, if only with no rows. */
  table<S extends TableSchema>(name: string, schema: S, metadata?: Readonly<Record<string, string>>): Promise<TableWriter<S>>;
}

export interface TableWriter<S extends TableSchema> {
  /** Resolves when the row is taken; many rows wait in memory until a row group is full. */
  append(row: Row<S>): Promise<void>;
}

/** Results of requests that are done, kept over a kill. Values go through JSON. */
export interface PartJournal {
  readonly size: number;
  get(key: string): JsonValue | undefined;
  /** Resolves when it is on the disk. @throws when the key has been recorded before */
  record(key: string, value: JsonValue): Promise<void>;
}

export type EngineRole = 'slm' | 'llm' | 'verifier';

/** A model server and the folder of the model it serves. */
export interface StepEngine {
  readonly role: EngineRole;
  readonly url: string;
  readonly client: SglangClient;
  readonly tokenizer: Tokenizer;
  /** Hugging Face folder. */
  readonly modelFolder: string;
}

/** How the engines are used; no output depends on it. */
export interface Tuning {
  /** Calls in flight. */
  readonly concurrency: number;
  readonly requestTimeoutMs: number;
  /** Further tries of a call whose failure may pass. */
  readonly maxRetries: number;
  /** Before the first of them; doubled for each further one. */
  readonly retryDelayMs: number;
}

/** As upstream has them. */
export const defaultTuning: Tuning = { concurrency: 16, requestTimeoutMs: 6_000_000, maxRetries: 3, retryDelayMs: 1000 };

/** Where data sets come from. */
export interface SourceAccess {
  /** Hugging Face hub, as `HF_ENDPOINT` has it. */
  readonly hubEndpoint?: string | undefined;
  readonly hubToken?: string | undefined;
  /** Downloads are kept here. */
  readonly cacheFolder: string;
  /** Where the claims of `pvc://claim/path` are mounted, by name. */
  readonly claims?: Readonly<Record<string, string>>;
}

export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** Monotonic time, for progress and delays: no output depends on it. */
export interface Clock {
  nowMs(): number;
  /** Resolves after `delayMs`. @throws the signal's reason */
  pause(delayMs: number, signal: AbortSignal): Promise<void>;
}

export interface StepContext {
  readonly workspace: Workspace;
  readonly engines: Readonly<Partial<Record<EngineRole, StepEngine>>>;
  readonly tuning: Tuning;
  /** For `convert`. */
  readonly sources?: SourceAccess;
  readonly shard: Shard;
  readonly clock: Clock;
  readonly log: Log;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** What a step's own code sees of a run. */
export interface StepWork<P> {
  readonly params: P;
  readonly context: StepContext;
  readonly inputs: StepInputs;
  /** Every call to an engine goes through this. */
  readonly calls: EngineCalls;
}

export interface StepInputs {
  /** @throws PipelineError when the definition does not list this step as an input */
  of(step: StepName): StepReader;
}

export interface RowsOptions<S extends TableSchema> {
  /** data_id from, inclusive. */
  readonly from?: number;
  /** data_id to, exclusive. */
  readonly to?: number;
  /** Only these columns are read; the others are missing in the rows. @default all */
  readonly columns?: readonly (keyof S['columns'] & string)[];
}

/** The output of a step that is done. */
export interface StepReader {
  readonly manifest: StepManifest;
  /** The parts that hold any of these questions. */
  parts(from?: number, to?: number): readonly PartPlan[];
  /**
   * Rows in order of data_id, as they were written. The file of each part is checked before its first row is given.
   *
   * @throws PipelineError `PIPELINE_PART_CORRUPT`
   */
  rows<S extends TableSchema>(table: string, schema: S, options?: RowsOptions<S>): AsyncIterable<Row<S>>;
  /** A file's metadata, such as `r2r.hidden_size`: of the first part that has the table. */
  metadata(table: string): Promise<Readonly<Record<string, string>>>;
}
