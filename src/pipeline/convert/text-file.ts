import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { PipelineError } from '../errors.ts';
import type { FileKind } from './file-format.ts';

/** A line or a CSV record of more is no question. */
export const maxRecordBytes = 64 * 2 ** 20;

/** A file's bytes, decompressed, a piece at a time. @throws PipelineError `PIPELINE_SOURCE` for a broken archive; the file system's error */
export async function* bytesOf(path: string, compression: FileKind['compression']): AsyncGenerator<Buffer> {
  const file = createReadStream(path, { highWaterMark: 2 ** 18 });
  if (compression === 'none') {
    yield* file as AsyncIterable<Buffer>;
    return;
  }
  const plain = pipeline(file, compression === 'gzip' ? createGunzip() : createZstdDecompress(), () => undefined);
  try {
    yield* plain as AsyncIterable<Buffer>;
  } catch (cause) {
    if (cause instanceof Error && 'syscall' in cause) throw cause;
    throw new PipelineError('PIPELINE_SOURCE', `it is no whole ${compression} archive`, 'download or write it again', {
      file: path,
      cause,
    });
  }
}

/** Text of bytes that are UTF-8; a byte order mark is no part of it. @throws PipelineError `PIPELINE_SOURCE` */
export async function* textOfBytes(chunks: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const decoded = (chunk?: Uint8Array): string => {
    try {
      return chunk ? decoder.decode(chunk, { stream: true }) : decoder.decode();
    } catch (cause) {
      throw new PipelineError('PIPELINE_SOURCE', 'it is not UTF-8', 'write it as UTF-8', { file: path, cause });
    }
  };
  for await (const chunk of chunks) yield decoded(chunk);
  yield decoded();
}
