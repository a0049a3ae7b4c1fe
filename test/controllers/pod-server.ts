import { once } from 'node:events';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** A pod whose program answers as it likes. */
export interface PodServer {
  readonly port: number;
  /** Of all answers, as far as they were taken. */
  written(): number;
  /** Resolves when the connection of an answer has been closed. */
  readonly hungUp: Promise<void>;
  close(): void;
}

const chunk = Buffer.alloc(64 * 1024, ' ');

/** Sends white space, which JSON may begin with, as fast as it is taken, until so much has been sent. */
export function endless(bytes: number, end: string): (response: ServerResponse) => Promise<void> {
  return (response) => pipeline(Readable.from(whiteSpace(bytes, end)), response).catch(() => undefined);
}

function* whiteSpace(bytes: number, end: string): Generator<Buffer> {
  for (let sent = 0; sent < bytes; sent += chunk.length) yield chunk;
  yield Buffer.from(end);
}

export async function podServer(answer: (response: ServerResponse) => Promise<void> | void): Promise<PodServer> {
  let written = 0;
  const { promise: hungUp, resolve } = Promise.withResolvers<undefined>();
  const server = createServer((request, response) => {
    const { socket } = request;
    socket.once('close', () => {
      written += socket.bytesWritten;
      resolve(undefined);
    });
    void answer(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    written: () => written,
    hungUp,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
