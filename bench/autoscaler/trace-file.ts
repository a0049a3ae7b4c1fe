import { readFileSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { parse } from 'csv-parse/sync';
import { random, seedOf } from './random.ts';
import { steadyCluster, type Workload } from './workloads.ts';

/** A trace that cannot be replayed; the message names file, line and field. */
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
  const requests = parseTrace(readFileSync(file, 'utf8'), file);
  const draw = random(seedOf(seed, 'trace'));
  const first = Math.min(...requests.map(({ seconds }) => seconds));
  const all = requests
    .flatMap((request) =>
      Array.from({ length: copies }, () => ({ ...request, seconds: request.seconds - first + (copies > 1 ? draw.next() : 0) })),
    )
    .sort((a, b) => a.seconds - b.seconds);
  const seconds = Math.ceil((all.at(-1)?.seconds ?? 0) + tailSeconds);
  if (seconds > longestSeconds) throw new TraceError(`${file}: it spans ${Math.round(seconds / 86_400)} days; at most 14 are replayed`);
  return {
    ...steadyCluster,
    name: basename(file),
    seconds,
    at: Float64Array.from(all, (request) => request.seconds),
    promptTokens: Float64Array.from(all, ({ promptTokens }) => promptTokens),
    tokens: Float64Array.from(all, ({ tokens }) => tokens),
  };
}

/** `file` names the format by its ending, and appears in messages. */
export function parseTrace(text: string, file: string): readonly Request[] {
  const requests = extname(file).toLowerCase() === '.csv' ? parseCsv(text, file) : parseJsonLines(text, file);
  if (requests.length === 0) throw new TraceError(`${file}: there is no request in it`);
  return requests;
}

function parseCsv(text: string, file: string): readonly Request[] {
  const rows = parse(text, { skip_empty_lines: true, trim: true, relax_column_count: true, bom: true });
  const [header = [], ...lines] = rows;
  const column = (name: string): number => {
    const index = header.findIndex((each) => each.toLowerCase().replaceAll(/[^a-z]/g, '') === name.toLowerCase());
    if (index < 0) throw new TraceError(`${file}: column ${name} is missing; its columns are ${header.join(', ')}`);
    return index;
  };
  const [at, context, generated] = [column('TIMESTAMP'), column('ContextTokens'), column('GeneratedTokens')];
  return lines.map((cells, index) => {
    const line = index + 2;
    return {
      seconds: timestamp(cells[at] ?? '', `${file}:${line}: TIMESTAMP`),
      promptTokens: count(cells[context] || undefined, `${file}:${line}: ContextTokens`),
      tokens: count(cells[generated] || undefined, `${file}:${line}: GeneratedTokens`),
    };
  });
}

function parseJsonLines(text: string, file: string): readonly Request[] {
  return text.split('\n').flatMap((source, index) => {
    if (source.trim() === '') return [];
    const where = `${file}:${index + 1}`;
    let parsed: unknown;
    try {
      parsed = JSON.parse(source);
    } catch (cause) {
      throw new TraceError(`${where}: not a JSON object; a trace is one a line, or a .csv file`, { cause });
    }
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) throw new TraceError(`${where}: not a JSON object`);
    const fields = parsed as Readonly<Record<string, unknown>>;
    const mooncake = 'input_length' in fields;
    const [prompt, output] = mooncake ? ['input_length', 'output_length'] : ['input_tokens', 'output_tokens'];
    const at = fields['timestamp'];
    if (typeof at !== 'number' || !Number.isFinite(at))
      throw new TraceError(`${where}: timestamp: a number is needed, ${mooncake ? 'in ms' : 'in s'}`);
    return [
      {
        seconds: mooncake ? at / 1000 : at,
        promptTokens: count(fields[prompt ?? ''], `${where}: ${prompt}`),
        tokens: count(fields[output ?? ''], `${where}: ${output}`),
      },
    ];
  });
}

/** Seconds: a number, or a date and time as `2023-11-16 18:17:03.9799600`, taken as UTC. */
function timestamp(text: string, where: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const [, date, time, fraction = ''] = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?(?:Z|\+00:00)?$/.exec(text) ?? [];
  const ms = Date.parse(`${date}T${time}Z`);
  if (Number.isNaN(ms)) throw new TraceError(`${where}: ${JSON.stringify(text)} is neither seconds nor a date and time in UTC`);
  return ms / 1000 + Number(`0${fraction}`);
}

function count(value: unknown, where: string): number {
  const number = typeof value === 'string' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 0)
    throw new TraceError(`${where}: ${JSON.stringify(value ?? null)} is not a number of tokens`);
  return number;
}
