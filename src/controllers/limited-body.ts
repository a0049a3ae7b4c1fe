import type { Readable } from 'node:stream';

/**
 * The text of an answer from a pod, which a tenant may have written: of one that is longer no more is read, and its connection is closed.
 *
 * @throws Error when it is longer; the connection's error
 */
export async function limitedText(body: Readable, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // to leave the loop is to destroy the stream
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new Error(`the answer is longer than ${maxBytes / 1024} KiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
