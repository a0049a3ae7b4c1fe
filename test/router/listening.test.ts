import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { Listening } from '../../src/router/listening.ts';
import { until } from './stage.ts';

describe('a listening server that closes', function () {
  this.timeout(60_000);
  const responses: ServerResponse[] = [];
  const sockets: Socket[] = [];
  let listening: Listening;
  beforeEach(async () => {
    listening = await Listening.on((_, response) => void responses.push(response), '127.0.0.1', 0);
  });
  afterEach(() => {
    responses.length = 0;
    for (const socket of sockets.splice(0)) socket.destroy();
  });
  const connection = async (says: string): Promise<Socket> => {
    const socket = connect(Number(new URL(listening.url).port), '127.0.0.1').on('error', () => undefined);
    sockets.push(socket);
    await once(socket, 'connect');
    socket.write(says);
    return socket.resume();
  };

  it('waits for no connection that has no request in progress: silent, half a header, or answered and kept alive', async () => {
    await connection('');
    await connection('GET / HTTP/1.1\r\nhost:');
    await connection('GET / HTTP/1.1\r\nhost: me\r\n\r\n');
    await until(() => responses.length === 1, 'the request arrived');
    responses[0]!.end('whole');
    const started = Date.now();
    assert.equal(await listening.close(30_000), true, 'nothing was cut');
    assert.ok(Date.now() - started < 10_000, 'it did not take the timeout');
  });

  it('still ends the answers in progress, however many silent connections there are', async () => {
    await connection('');
    const asking = await connection('GET / HTTP/1.1\r\nhost: me\r\n\r\n');
    let text = '';
    asking.on('data', (bytes: Buffer) => (text += bytes.toString()));
    await until(() => responses.length === 1, 'the request arrived');
    const silent = await connection('');
    const closed = listening.close(30_000);
    await once(silent, 'close');
    responses[0]!.end('whole');
    assert.equal(await closed, true);
    await until(() => text.endsWith('whole'), 'the answer arrived');
  });
});
