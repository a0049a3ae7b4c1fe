/**
 * Why a step of the pipeline cannot go on.
 * - `PIPELINE_PARAMS`: a parameter of the step is missing or wrong
 * - `PIPELINE_SPEC`: the step's folder belongs to another step, or to a format that this version does not write
 * - `PIPELINE_INPUT_MISSING`: a step that this one reads is not done, or its data is not what was expected
 * - `PIPELINE_PART_CORRUPT`: a finished file is not what was written; may pass when the step that it names is run again
 * - `PIPELINE_NO_SPACE`: the workspace is full; may pass
 * - `PIPELINE_WORKSPACE`: the workspace cannot be read or written; may pass
 * - `PIPELINE_PARQUET`: a Parquet file cannot be read
 * - `PIPELINE_SOURCE`: a data set, a split or a file of it is not there
 * - `PIPELINE_COLUMN`: rows lack a column, or it holds something else than expected
 * - `PIPELINE_MODEL`: two models do not belong together, or a server has another one than was asked for
 * - `PIPELINE_ENGINE`: a model server failed for longer than is waited; may pass
 * - `PIPELINE_VERIFIER`: the verifier's answers cannot be used
 * - `PIPELINE_CHECKPOINT`: no bundle can be made of the checkpoint, or it cannot be had; may pass where its server is away
 * - `PIPELINE_ACCURACY`: the bundle's network computes something else than what was trained
 * - `PIPELINE_COMPARE`: the bundle in use cannot be had or run; may pass where its store is away
 * - `PIPELINE_STORE`: the bundle cannot be stored; may pass where the store is away or full
 * - `PIPELINE_STOPPED`: the process was told to stop; may pass
 */
export type PipelineErrorCode =
  | 'PIPELINE_PARAMS'
  | 'PIPELINE_SPEC'
  | 'PIPELINE_INPUT_MISSING'
  | 'PIPELINE_PART_CORRUPT'
  | 'PIPELINE_NO_SPACE'
  | 'PIPELINE_WORKSPACE'
  | 'PIPELINE_PARQUET'
  | 'PIPELINE_SOURCE'
  | 'PIPELINE_COLUMN'
  | 'PIPELINE_MODEL'
  | 'PIPELINE_ENGINE'
  | 'PIPELINE_VERIFIER'
  | 'PIPELINE_CHECKPOINT'
  | 'PIPELINE_ACCURACY'
  | 'PIPELINE_COMPARE'
  | 'PIPELINE_STORE'
  | 'PIPELINE_STOPPED';

const retryableCodes: ReadonlySet<PipelineErrorCode> = new Set([
  'PIPELINE_PART_CORRUPT',
  'PIPELINE_NO_SPACE',
  'PIPELINE_WORKSPACE',
  'PIPELINE_ENGINE',
  'PIPELINE_STOPPED',
]);

export interface PipelineErrorOptions extends ErrorOptions {
  /** The step at fault, where it is not the one that runs. */
  readonly step?: string | undefined;
  readonly shard?: number | undefined;
  readonly file?: string | undefined;
  /** The parameter or column at fault. */
  readonly field?: string | undefined;
  /** @default whether the code says that it may pass */
  readonly retryable?: boolean;
}

/** A step that cannot go on. The message names the object, what is wrong and what to do about it. */
export class PipelineError extends Error {
  override readonly name = 'PipelineError';
  readonly code: PipelineErrorCode;
  /** What is wrong, without the way out. */
  readonly problem: string;
  readonly fix: string;
  readonly step: string | undefined;
  readonly shard: number | undefined;
  readonly file: string | undefined;
  readonly field: string | undefined;
  /** Whether running the same again may succeed. */
  readonly retryable: boolean;

  constructor(code: PipelineErrorCode, problem: string, fix: string, options: PipelineErrorOptions = {}) {
    const where = [
      options.step === undefined ? '' : `step ${options.step}`,
      options.shard === undefined ? '' : `shard ${options.shard}`,
      options.file ?? '',
    ].filter((each) => each !== '');
    const place = where.length > 0 ? `${where.join(', ')}: ` : '';
    super(`${place}${problem}; ${fix}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.problem = problem;
    this.fix = fix;
    this.step = options.step;
    this.shard = options.shard;
    this.file = options.file;
    this.field = options.field;
    this.retryable = options.retryable ?? retryableCodes.has(code);
  }

  /** The same error with the place it occurred at, where it does not name one itself. */
  at(step: string, shard: number): PipelineError {
    if (this.step !== undefined && this.shard !== undefined) return this;
    const { file, field, retryable, cause } = this;
    const options = { step: this.step ?? step, shard: this.shard ?? shard, file, field, retryable };
    return new PipelineError(this.code, this.problem, this.fix, cause === undefined ? options : { ...options, cause });
  }
}
