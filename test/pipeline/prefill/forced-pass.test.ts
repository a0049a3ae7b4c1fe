import assert from 'node:assert/strict';
import { forcedPass, type ForcedPassOptions } from '../../../src/pipeline/prefill/forced-pass.ts';
import { PipelineError } from '../../../src/pipeline/errors.ts';
import type { PrefillAnswer } from '../../../src/sglang/index.ts';

type Call = Parameters<ForcedPassOptions['prefill']>[0];

/** A server with a prefix cache by key, whose rows tell their token. */
class RememberingServer {
  readonly calls: Call[] = [];
  readonly #cached = new Map<string | undefined, number>();
  readonly #pageSize: number;

  constructor(pageSize = 1) {
    this.#pageSize = pageSize;
  }

  forget(): void {
    this.#cached.clear();
  }

  readonly prefill = (call: Call): Promise<PrefillAnswer> => {
    this.calls.push(call);
    const known = Math.min(call.from, this.#cached.get(call.cacheKey) ?? 0);
    this.#cached.set(call.cacheKey, call.ids.length);
    const rows = call.ids.slice(call.from).map((id) => ({
      top: { ids: Int32Array.of(id), logprobs: Float64Array.of(0) },
      hidden: Float32Array.of(id),
    }));
    return Promise.resolve({ rows, cachedTokens: known - (known % this.#pageSize), cost: { wireMs: 0, decodeMs: 0, bytes: 0 } });
  };
}

const ids = Array.from({ length: 100 }, (_, index) => index + 1000);

function options(server: RememberingServer, change: Partial<ForcedPassOptions> = {}): ForcedPassOptions {
  let keys = 0;
  return { segmentTokens: 16, topLogprobs: 5, pageSize: 1, prefill: server.prefill, newKey: () => `key-${keys++}`, ...change };
}

async function tokensOf(server: RememberingServer, change?: Partial<ForcedPassOptions>, after?: (from: number) => void): Promise<number[]> {
  const tokens: number[] = [];
  for await (const { from, rows } of forcedPass(ids, options(server, change))) {
    assert.equal(from, tokens.length);
    tokens.push(...rows.map(({ hidden }) => hidden[0]!));
    after?.(from);
  }
  return tokens;
}

describe('a forced pass', () => {
  it('reads each position once and in order, in calls of a segment each', async () => {
    const server = new RememberingServer();
    assert.deepEqual(await tokensOf(server), ids);
    assert.deepEqual(
      server.calls.map(({ from, ids: sent }) => [from, sent.length]),
      [0, 16, 32, 48, 64, 80, 96].map((from) => [from, Math.min(from + 16, 100)]),
    );
    assert.equal(new Set(server.calls.map(({ cacheKey }) => cacheKey)).size, 1);
    for (const { idsJson, ids: sent } of server.calls) assert.equal(idsJson!.text, sent.join());
  });

  it('asks for no segment before the one before it has been taken', async () => {
    const server = new RememberingServer();
    const pass = forcedPass(ids, options(server));
    await pass.next();
    await pass.next();
    assert.equal(server.calls.length, 2);
    await pass.return(undefined);
  });

  it('begins again when the server has lost what it read, and gives no row twice', async () => {
    const server = new RememberingServer();
    const tokens = await tokensOf(server, {}, (from) => {
      if (from === 48) server.forget();
    });
    assert.deepEqual(tokens, ids);
    // the fifth call finds nothing; the sequence is then read as before, under another key
    assert.deepEqual(
      server.calls.map(({ from, cacheKey }) => [from, cacheKey]),
      [...[0, 16, 32, 48, 64].map((from) => [from, 'key-0']), ...[0, 16, 32, 48, 64, 80, 96].map((from) => [from, 'key-1'])],
    );
  });

  it('gives up on a server that never keeps it, naming the fix', async () => {
    const server = new RememberingServer();
    const prefill = (call: Call) => {
      server.forget();
      return server.prefill(call);
    };
    await assert.rejects(
      tokensOf(server, { prefill }),
      (error) =>
        error instanceof PipelineError &&
        error.code === 'PIPELINE_ENGINE' &&
        error.retryable &&
        /0 of 16 tokens .* 4 times; give it more memory/.test(error.message),
    );
  });

  it('takes it that a server caches whole pages only', async () => {
    const server = new RememberingServer(64);
    assert.deepEqual(await tokensOf(server, { pageSize: 64 }), ids);
    assert.equal(server.calls.length, 7);
  });

  it('of nothing makes no call', async () => {
    const server = new RememberingServer();
    for await (const segment of forcedPass([], options(server))) assert.fail(String(segment.from));
    assert.equal(server.calls.length, 0);
  });
});
