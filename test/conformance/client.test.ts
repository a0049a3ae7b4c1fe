import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EngineError, SglangClient, type EngineLoad, type GenerateCall } from '../../src/sglang/index.ts';
import { readRecording, recordingsFolder, type Recording } from './recording.ts';

interface RecordedAnswer {
  readonly output_ids: readonly number[];
  readonly meta_info: {
    readonly finish_reason: { readonly type: string };
    readonly cached_tokens: number;
    readonly output_top_logprobs?: readonly (readonly (readonly [number, number, string | null])[])[];
    /** Of the prompt a list of rows, of each further token one row. */
    readonly hidden_states?: readonly [readonly (readonly number[])[], ...(readonly number[])[]];
  };
}

interface RecordedBody {
  readonly input_ids?: readonly number[] | readonly (readonly number[])[];
  readonly sampling_params?: { readonly max_new_tokens?: number; readonly stop_token_ids?: readonly number[] };
  readonly top_logprobs_num?: number;
  readonly return_hidden_states?: boolean;
  readonly stream?: boolean;
  readonly session_params?: unknown;
}

/** Questions to a server that need no body, and what our client calls them. */
const questions: Readonly<Record<string, (client: SglangClient) => Promise<unknown>>> = {
  '/model_info': (client) => client.modelInfo(),
  '/server_info': (client) => client.serverInfo(),
  '/v1/models': (client) => client.contextLength(),
  '/health': (client) => client.health(),
  '/metrics': (client) => client.load(),
};

/** The recorded request as a call of ours; undefined where we make none like it: streams, batches, texts, sessions, no length. */
function callOf({ request }: Recording): GenerateCall | undefined {
  if (request.path !== '/generate' || request.method !== 'POST') return undefined;
  const body = (request.body ?? {}) as RecordedBody;
  const { input_ids: ids, sampling_params: sampling, top_logprobs_num: topLogprobs, return_hidden_states: hiddenStates = false } = body;
  if (!Array.isArray(ids) || ids.some((id) => typeof id !== 'number') || body.stream || body.session_params) return undefined;
  if (typeof sampling?.max_new_tokens !== 'number') return undefined;
  const stopTokenIds = sampling.stop_token_ids;
  return {
    ids: ids as readonly number[],
    maxNewTokens: sampling.max_new_tokens,
    hiddenStates,
    ...(topLogprobs !== undefined && { topLogprobs }),
    ...(stopTokenIds && { stopTokenIds }),
    timeoutMs: 10_000,
  };
}

const recordings = readdirSync(recordingsFolder).map((file) => readRecording(file.replace('.json', '')));
const calls = recordings.filter((recording) => callOf(recording) !== undefined);
const asked = recordings.filter(({ request }) => request.path in questions);
const aborts = recordings.filter(({ request }) => request.path === '/abort_request');

describe('our client reads every recorded answer of SGLang 0.5.23 that concerns a call it makes', () => {
  let server: Server;
  let client: SglangClient;
  let played: Recording;
  let received = 0;

  before(async () => {
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        received++;
        const other = played.request.path === request.url ? played : recordings.find((each) => each.request.path === request.url);
        const { status, body, body_text: text = body === undefined ? '' : JSON.stringify(body) } = (other ?? played).response;
        const sent = Buffer.concat(chunks).toString();
        const rid = sent === '' ? undefined : (JSON.parse(sent) as { readonly rid?: string }).rid;
        const recordedRid = (body as Partial<{ meta_info: { id: string } }> | undefined)?.meta_info?.id;
        const contentType = (other ?? played).response.headers['content-type'];
        if (contentType) response.setHeader('content-type', contentType);
        // the server had died
        if (status === null) {
          response.destroy();
          return;
        }
        response.writeHead(status);
        // our client makes up its own request ids
        response.end(rid && recordedRid ? text.replaceAll(`"${recordedRid}"`, `"${rid}"`) : text);
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    client = new SglangClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, vocabSize: 512 });
  });
  after(async () => {
    await client.destroy();
    server.close();
    await once(server, 'close');
  });

  it('of which there are some of every kind', () => {
    assert.ok(calls.length >= 15 && asked.length >= 5 && aborts.length >= 4, `${calls.length}, ${asked.length}, ${aborts.length}`);
  });

  for (const recording of calls) {
    it(`${recording.name}: ${recording.response.status ?? 'no answer'}`, async () => {
      played = recording;
      const call = callOf(recording)!;
      const { response } = recording;
      if (response.status !== 200) {
        const sentBefore = received;
        await assert.rejects(client.generate(call), (error) => {
          assert.ok(error instanceof EngineError && !error.retryable, String(error));
          const neverSent = ['invalid_call', 'invalid_token'].includes(error.code);
          assert.equal(received - sentBefore, neverSent ? 0 : 1);
          assert.ok(neverSent || (error.code === 'rejected' && response.status === 400), error.code);
          return true;
        });
        return;
      }
      const { output_ids: ids, meta_info: info } = response.body as RecordedAnswer;
      const { tokens, finish, cachedTokens } = await client.generate(call);
      assert.deepEqual(
        tokens.map(({ id }) => id),
        ids,
      );
      assert.deepEqual([finish, cachedTokens], [info.finish_reason.type, info.cached_tokens]);
      const [first, ...steps] = info.hidden_states ?? [];
      for (const [index, { top, hidden }] of tokens.entries()) {
        const entries = info.output_top_logprobs?.[index];
        assert.deepEqual(
          top && [...top.ids],
          entries?.map(([, id]) => id),
        );
        assert.deepEqual(
          top && [...top.logprobs],
          entries?.map(([logprob]) => logprob),
        );
        const state = index === 0 ? first?.at(-1) : steps[index - 1];
        assert.deepEqual(hidden && [...hidden], state);
        assert.equal(hidden !== undefined, call.hiddenStates);
      }
    });
  }

  for (const recording of asked) {
    it(`${recording.name}: ${recording.response.status ?? 'no answer'}`, async () => {
      played = recording;
      const answer = await questions[recording.request.path]!(client);
      const { body, body_text: text } = recording.response;
      if (recording.request.path === '/health') assert.equal(answer, recording.response.status === 200);
      else if (recording.request.path === '/v1/models') assert.equal(answer, 2042, 'the least of what its three limits allow');
      else if (recording.request.path === '/metrics') {
        const value = (name: string): number => Number(new RegExp(`^sglang:${name}(?:\\{.*\\})? (\\S+)$`, 'm').exec(text ?? '')?.[1]);
        const { runningRequests, queuedRequests } = answer as EngineLoad;
        assert.deepEqual([runningRequests, queuedRequests], [value('num_running_reqs'), value('num_queue_reqs')]);
      } else {
        const fields = body as Readonly<Record<string, unknown>>;
        const known = Object.entries(answer as object);
        assert.ok(known.length > 0);
        for (const [field, value] of known) assert.deepEqual(value, fields[field], field);
      }
    });
  }

  for (const recording of aborts) {
    it(`${recording.name}: ${recording.response.status ?? 'no answer'}`, async () => {
      played = recording;
      const before = received;
      await client.abort((recording.request.body as { readonly rid?: string } | undefined)?.rid ?? 'any');
      assert.equal(received, before + 1);
    });
  }
});
