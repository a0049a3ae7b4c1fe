import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { progressClient } from '../../../src/controllers/router/progress-client.ts';
import { endless, podServer } from '../pod-server.ts';
import type { PodServer } from '../pod-server.ts';

const report = {
  ...{ hash: 'a', unit: 'tokens', done: 1, total: 2, perSecond: 1, etaSeconds: 1, tokensPerSecond: 0 },
  engineUtilisation: 0.5,
};
const megabyte = 2 ** 20;

describe("the operator's question how far a step is", () => {
  const { signal } = new AbortController();
  let pod: PodServer;

  afterEach(() => {
    pod.close();
  });

  const ask = async (answer: (response: ServerResponse) => Promise<void> | void, timeoutMs = 30_000) => {
    pod = await podServer(answer);
    const client = progressClient(timeoutMs, pod.port);
    try {
      return await client.report('127.0.0.1', signal);
    } finally {
      await client.close();
    }
  };

  it('is answered by a report', async () => {
    assert.deepEqual(await ask((response) => void response.end(JSON.stringify(report))), report);
  });

  it('takes a report with 60 KB of white space, and none with 70 KB', async () => {
    const padded = (kilobytes: number) => (response: ServerResponse) =>
      void response.end(' '.repeat(kilobytes * 1000) + JSON.stringify(report));
    assert.deepEqual(await ask(padded(60)), report);
    pod.close();
    assert.equal(await ask(padded(70)), undefined);
  });

  it('hangs up on a pod that sends 64 MB', async () => {
    assert.equal(await ask(endless(64 * megabyte, JSON.stringify(report))), undefined);
    await pod.hungUp;
    // what the kernel's buffers hold was sent, and not read
    assert.ok(pod.written() < 32 * megabyte, `${pod.written()} bytes were sent`);
  });

  it('hangs up on a pod that never ends', async () => {
    assert.equal(await ask(endless(Infinity, '')), undefined);
    await pod.hungUp;
  });

  it('waits no longer than its time for a pod that begins and says no more', async () => {
    assert.equal(await ask((response) => void response.write('{'), 200), undefined);
    await pod.hungUp;
  });
});
