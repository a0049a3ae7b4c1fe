import type { Readable } from 'node:stream';

/** So many bytes may wait for their reader before the sender must. */
const maxWaitingBytes = 2 ** 20;

/**
 * The chunks of a body, also those that had arrived when it broke: a stream that fails drops what nobody has read yet, and a download that
 * resumes would fetch it again. Takes hold of the body when it is called, which
 * must be as soon as there is one; nobody has to read it, and its errors are for whoever does.
 *
 * @throws the body's error, after the last chunk
 */
export function arriving(body: Readable): AsyncGenerator<Uint8Array, void, void> {
  const waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  const state: { ended: boolean; failed: Error | undefined } = { ended: false, failed: undefined };
  let wake = (): void => undefined;
  const end = (error?: Error): void => {
    state.ended = true;
    state.failed ??= error;
    wake();
  };
  // it may have broken before anybody listened, and then says nothing more
  if (body.destroyed) end(body.errored ?? new Error('the connection broke'));
  body.on('data', (chunk: Uint8Array) => {
    waiting.push(chunk);
    waitingBytes += chunk.byteLength;
    if (waitingBytes > maxWaitingBytes) body.pause();
    wake();
  });
  body.once('end', () => end());
  body.once('error', end);
  body.once('close', () => end());
  return (async function* chunks() {
    for (;;) {
      const chunk = waiting.shift();
      if (chunk) {
        waitingBytes -= chunk.byteLength;
        yield chunk;
      } else if (state.ended) {
        if (state.failed) throw state.failed;
        return;
      } else {
        body.resume();
        await new Promise<void>((resolve) => (wake = resolve));
      }
    }
  })();
}
