import assert from 'node:assert/strict';
import { Pool } from 'undici';
import { apiErrorStatuses } from '../../../src/router/errors.ts';
import { readyStage, until, type Stage } from '../stage.ts';
import { scale } from '../../scale.ts';
import { mutatedRequest, randomOf, type MutatedRequest } from './request-mutations.ts';

/** 2,000 in `npm test`, 100,000 in `npm run test:long`. */
const requests = Math.min(100_000, scale === 1 ? 2_000 : 5_000 * scale);
const limitMs = scale === 1 ? 50_000 : 3_000_000;
const seed = 20_260_722;
const workers = 8;
/** CPU that the event loop's thread may spend on one request. Time on the clock depends on what else the machine does. */
const hangMs = 1_000;

describe('mutated request bodies', function () {
  this.timeout(limitMs + 60_000);
  let made: Stage;
  before(async () => {
    const letters = Array.from({ length: 12 }, (_, index) => ({ id: 97 + index, unsure: index % 5 === 0, llm: 98 + index }));
    made = await readyStage({ lines: letters });
  });
  after(() => made.close());

  it(`get an answer or a typed error, ${requests} times over`, async () => {
    const client = new Pool(made.router.url, { connections: workers });
    const random = randomOf(seed);
    const statuses = new Map<number, number>();
    const deadline = Date.now() + limitMs;
    let sent = 0;
    const send = async ({ path, body, headers }: MutatedRequest): Promise<void> => {
      const shown = `${path} ${Buffer.from(body).toString('latin1').slice(0, 600)}`;
      const response = await client.request({ path, method: 'POST', body, headers, headersTimeout: 20_000, bodyTimeout: 20_000 });
      const text = await response.body.text();
      const { statusCode } = response;
      statuses.set(statusCode, (statuses.get(statusCode) ?? 0) + 1);
      const failure = statusCode === 200 ? lastError(text) : text;
      if (failure === undefined) return;
      const { error } = JSON.parse(failure) as {
        readonly error: { readonly code: keyof typeof apiErrorStatuses; readonly message: string };
      };
      assert.ok(error.code in apiErrorStatuses, `${failure} after ${shown}`);
      assert.ok(statusCode === 200 || apiErrorStatuses[error.code] === statusCode, shown);
      assert.ok(apiErrorStatuses[error.code] < 500, `${failure} after ${shown}`);
    };
    const work = async (): Promise<void> => {
      while (sent < requests && Date.now() < deadline) {
        sent++;
        await send(mutatedRequest(random));
      }
    };
    // The event loop lives: it is never busy for long at a stretch.
    let longestMs = 0;
    let last = process.threadCpuUsage();
    const watch = setInterval(() => {
      const now = process.threadCpuUsage();
      longestMs = Math.max(longestMs, (now.user - last.user + now.system - last.system) / 1000);
      last = now;
    }, 1);
    try {
      await Promise.all(Array.from({ length: workers }, work));
    } finally {
      clearInterval(watch);
      await client.destroy();
    }
    console.log(
      `      ${sent} requests, seed ${seed}: ${[...statuses].map(([code, count]) => `${code} ${count}`).join(', ')}; longest stretch ${Math.round(longestMs)} ms`,
    );
    assert.ok((statuses.get(200) ?? 0) > sent / 20 && (statuses.get(400) ?? 0) > sent / 20, 'both outcomes are common');
    assert.ok(longestMs < hangMs, `the event loop's thread was busy for ${longestMs} ms at a stretch`);
    assert.equal(made.slm.died, undefined, 'nothing that kills a model server was sent');
    for (const llm of made.llms) assert.equal(llm.died, undefined);
    await until(() => made.router.status().inFlight === 0 && made.slm.running === 0, 'nothing goes on');
  });
});

/** The error that a stream ended with. */
function lastError(text: string): string | undefined {
  const event = text.trimEnd().split('\n\n').at(-1) ?? '';
  return event.startsWith('data: {"error"') ? event.slice('data: '.length) : undefined;
}
