import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { ConnectionError } from '../../src/kube/index.ts';
import { FakeApiServer } from './fake-api-server.ts';

describe('client: answers of pods behind the proxy', () => {
  const path = '/api/v1/namespaces/a/pods/p:9090/proxy/metrics';

  it('are read no further than the caller wants, however much a pod sends', async () => {
    let sent = 0;
    const endless = function* (): Generator<Buffer> {
      for (; sent < 1e9; sent += 65_536) yield Buffer.alloc(65_536, 'x');
    };
    await using server = await FakeApiServer.start((_, response) => void Readable.from(endless()).pipe(response));
    await using client = server.client();
    await assert.rejects(client.raw({ path, maxBytes: 1024 * 1024, retries: 0 }), (error) => {
      assert.ok(error instanceof ConnectionError);
      assert.match(error.message, /the answer is longer than 1024 KiB/);
      return true;
    });
    assert.ok(sent < 100e6, `${sent} bytes were taken`);
  });

  it('that are short enough come whole, also with characters that lie across chunks', async () => {
    const text = 'ä€😀'.repeat(10_000);
    await using server = await FakeApiServer.start((_, response) => {
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; at += 1001) response.write(bytes.subarray(at, at + 1001));
      response.end();
    });
    await using client = server.client();
    assert.equal(await client.raw({ path, maxBytes: 1024 * 1024 }), text);
  });
});
