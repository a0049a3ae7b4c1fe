import { PipelineError } from '../errors.ts';
import type { SourceRow } from './cells.ts';
import type { FileKind } from './file-format.ts';
import { bytesOf, maxRecordBytes } from './text-file.ts';

const newline = 0x0a;

/**
 * Rows of a JSON Lines file: one object a line, UTF-8. Lines end with a line feed and nothing else: a text may hold other separators of lines.
 *
 * @throws PipelineError `PIPELINE_SOURCE` naming the line
 */
export async function* jsonLines(path: string, compression: FileKind['compression']): AsyncGenerator<SourceRow> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let number = 0;
  for await (const line of lines(path, compression)) {
    number++;
    const refuse = (problem: string, fix: string, cause?: unknown): PipelineError =>
      new PipelineError('PIPELINE_SOURCE', `line ${number} ${problem}`, fix, { file: path, ...(cause !== undefined && { cause }) });
    let value: unknown;
    try {
      const text = decoder.decode(line).trim();
      if (text === '') continue;
      value = JSON.parse(text);
    } catch (cause) {
      if (number === 1 && line[0] === '['.charCodeAt(0))
        throw refuse('begins one JSON array', 'write JSON Lines: an object on each line', cause);
      throw refuse(cause instanceof SyntaxError ? 'is no JSON' : 'is not UTF-8', 'write an object on each line, in UTF-8', cause);
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw refuse('is no JSON object', 'write JSON Lines: an object on each line');
    yield value as SourceRow;
  }
}

async function* lines(path: string, compression: FileKind['compression']): AsyncGenerator<Uint8Array> {
  let begun: Buffer[] = [];
  let begunBytes = 0;
  for await (const chunk of bytesOf(path, compression)) {
    let start = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
      const rest = chunk.subarray(start, end);
      yield begunBytes === 0 ? rest : Buffer.concat([...begun, rest]);
      begun = [];
      begunBytes = 0;
      start = end + 1;
    }
    if (start < chunk.length) {
      begun.push(chunk.subarray(start));
      begunBytes += chunk.length - start;
    }
    if (begunBytes > maxRecordBytes)
      throw new PipelineError(
        'PIPELINE_SOURCE',
        `a line has more than ${maxRecordBytes} bytes`,
        'write JSON Lines: an object on each line',
        {
          file: path,
        },
      );
  }
  if (begunBytes > 0) yield Buffer.concat(begun);
}
