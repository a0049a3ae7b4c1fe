import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { launcherEndpoints } from '../../src/cli/launcher-endpoints.ts';
import { until } from '../cluster/progress.ts';

describe('the LLM endpoint of a Colocated pod', function () {
  this.timeout(20_000);
  let server: Server;
  let port: number;
  let says: string;
  const heard: boolean[] = [];
  const expect = (wanted: readonly boolean[]): Promise<unknown> =>
    until(wanted.join(), 10_000, () => Promise.resolve(heard.join() === wanted.join()), 20);

  const listen = async (at = 0): Promise<void> => {
    server = createServer((_, response) => {
      response.writeHead(says.includes('"ready","llm":"ready"') ? 200 : 503).end(says);
    }).listen(at, '127.0.0.1');
    await once(server, 'listening');
    ({ port } = server.address() as AddressInfo);
  };
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await once(server.close(), 'close');
  };

  it('is ready while the launcher says so, and not while it says otherwise, something else, or nothing', async () => {
    says = '{"slm":"starting","llm":"waiting"}';
    await listen();
    const source = launcherEndpoints('http://127.0.0.1:30001', `http://127.0.0.1:${port}`);
    const unsubscribe = source.subscribe(([endpoint, ...others]) => {
      assert.equal(endpoint?.url, 'http://127.0.0.1:30001');
      assert.deepEqual(others, []);
      heard.push(endpoint.ready);
    });
    await expect([false]);
    says = '{"slm":"ready","llm":"ready"}';
    await expect([false, true]);
    says = 'all is well';
    await expect([false, true, false]);
    // of use, though the SLM is not: that is the router's own to find out
    says = '{"slm":"unready","llm":"ready"}';
    await expect([false, true, false, true]);
    await close();
    await expect([false, true, false, true, false]);
    await listen(port);
    await expect([false, true, false, true, false, true]);
    unsubscribe();
    await close();
  });
});
