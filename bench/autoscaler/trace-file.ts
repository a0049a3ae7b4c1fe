import { readFileSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { CsvError, parse } from 'csv-parse/sync';
import { random, seedOf } from './random.ts';
import { steadyCluster, type Workload } from './workloads.ts';

/** A trace that cannot be replayed; the message names file, line and field, and what to do. */
export class TraceError extends Error {
  override name = 'TraceError';
}

interface Request {
  readonly seconds: number;
  readonly promptTokens: number;
  readonly tokens: number;
}

/** Pools go on for a while after the last request. */
const tailSeconds = 300;
const longestSeconds = 14 * 24 * 3600;

/**
 * Reads a trace: CSV with the columns of Azure's (TIMESTAMP, ContextTokens, GeneratedTokens), or one JSON object a line as Mooncake's (`timestamp` in ms,
 * `input_length`, `output_length`) or ServeGen's (`timestamp` in s, `input_tokens`, `output_tokens`). Each request comes `copies` times, within a second.
 */
export function traceWorkload(file: string, copies: number, seed: number): Workload {
  const requests = parseTrace(read(file), file);
  const draw = random(seedOf(seed, 'trace'));
  const first = requests.reduce((least, { seconds }) => Math.min(least, seconds), Infinity);
  const all = requests
    .flatMap((request) =>
      Array.from({ length: copies }, () => ({ ...request, seconds: request.seconds - first + (copies > 1 ? draw.next() : 0) })),
    )
    .sort((a, b) => a.seconds - b.seconds);
  const seconds = Math.ceil((all.at(-1)?.seconds ?? 0) + tailSeconds);
  if (seconds > longestSeconds)
    throw new TraceError(
      `${file}: it spans ${Math.round(seconds / 86_400)} days; at most 14 are replayed: cut it, or correct the unit of its times`,
    );
  return {
    ...steadyCluster,
    name: basename(file),
    seconds,
    at: Float64Array.from(all, (request) => request.seconds),
    promptTokens: Float64Array.from(all, ({ promptTokens }) => promptTokens),
    tokens: Float64Array.from(all, ({ tokens }) => tokens),
  };
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new TraceError(`${file}: it cannot be read (${(cause as Error).message}); --trace takes the path of a file`, { cause });
  }
}

/** `file` names the format by its ending, and appears in messages. */
export function parseTrace(text: string, file: string): readonly Request[] {
  const requests = extname(file).toLowerCase() === '.csv' ? parseCsv(text, file) : parseJsonLines(text.replace(/^\uFEFF/, ''), file);
  if (requests.length === 0) throw new TraceError(`${file}: there is no request in it; each is a line of its own`);
  return requests;
}

function parseCsv(text: string, file: string): readonly Request[] {
  const [header = { cells: [], line: 1 }, ...rows] = csvRows(text, file);
  const column = (name: string): number => {
    const index = header.cells.findIndex((each) => each.toLowerCase().replaceAll(/[^a-z]/g, '') === name.toLowerCase());
    if (index < 0)
      throw new TraceError(
        `${file}:${header.line}: column ${name} is missing; the first line has to name TIMESTAMP, ContextTokens and GeneratedTokens, and names ${header.cells.join(', ') || 'nothing'}`,
      );
    return index;
  };
  const [at, context, generated] = [column('TIMESTAMP'), column('ContextTokens'), column('GeneratedTokens')];
  return rows.map(({ cells, line }) => ({
    seconds: timestamp(cells[at] ?? '', `${file}:${line}: TIMESTAMP`),
    promptTokens: count(cells[context] || undefined, `${file}:${line}: ContextTokens`),
    tokens: count(cells[generated] || undefined, `${file}:${line}: GeneratedTokens`),
  }));
}

interface CsvRow {
  readonly cells: readonly string[];
  readonly line: number;
}

function csvRows(text: string, file: string): readonly CsvRow[] {
  const rows: CsvRow[] = [];
  // with a line for each row: empty ones are skipped, and still count
  const on_record = (cells: string[], { lines }: { readonly lines: number }): null => {
    rows.push({ cells, line: lines });
    return null;
  };
  try {
    parse(text, { skip_empty_lines: true, trim: true, relax_column_count: true, bom: true, on_record });
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    const line: unknown = cause['lines'];
    throw new TraceError(`${file}:${String(line)}: not CSV: ${cause.message}; write the numbers without quotes`, { cause });
  }
  return rows;
}

const oneObject = 'a trace is one object a line, or a file that ends in .csv';

function parseJsonLines(text: string, file: string): readonly Request[] {
  return text.split('\n').flatMap((source, index) => {
    if (source.trim() === '') return [];
    const where = `${file}:${index + 1}`;
    let parsed: unknown;
    try {
      parsed = JSON.parse(source);
    } catch (cause) {
      throw new TraceError(`${where}: not JSON; ${oneObject}`, { cause });
    }
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
      throw new TraceError(`${where}: not a JSON object; ${oneObject}`);
    const fields = parsed as Readonly<Record<string, unknown>>;
    const mooncake = 'input_length' in fields;
    const [prompt, output] = mooncake ? (['input_length', 'output_length'] as const) : (['input_tokens', 'output_tokens'] as const);
    const at = fields['timestamp'];
    if (typeof at !== 'number' || !Number.isFinite(at))
      throw new TraceError(
        `${where}: timestamp: ${JSON.stringify(at ?? null)} is not a number; write ${mooncake ? 'milliseconds' : 'seconds'}`,
      );
    return [
      {
        seconds: mooncake ? at / 1000 : at,
        promptTokens: count(fields[prompt], `${where}: ${prompt}`),
        tokens: count(fields[output], `${where}: ${output}`),
      },
    ];
  });
}

/** Seconds: a number, or a date and time as `2023-11-16 18:17:03.9799600`, taken as UTC. */
function timestamp(text: string, where: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const [, date, time, fraction = ''] = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?(?:Z|\+00:00)?$/.exec(text) ?? [];
  const ms = Date.parse(`${date}T${time}Z`);
  if (Number.isNaN(ms))
    throw new TraceError(
      `${where}: ${JSON.stringify(text)} is neither seconds nor a date and time in UTC; write 12.5 or 2023-11-16 18:17:03.98`,
    );
  return ms / 1000 + Number(`0${fraction}`);
}

function count(value: unknown, where: string): number {
  const number = typeof value === 'string' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 0)
    throw new TraceError(`${where}: ${JSON.stringify(value ?? null)} is not a number of tokens; write a whole number, 0 or more`);
  return number;
}
