import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { startEngine, type RunningEngine } from '../../src/engine/server.ts';
import { compareJson, generateRules, openAiRules, type Bounds, type Difference, type Extremes, type Rules } from './comparison.ts';
import { assertSameGreedyTokens } from './greedy.ts';
import { parseEvents, readRecording, recordedEvents, recordingsFolder, send, type Answer, type Recording } from './recording.ts';

/**
 * What bfloat16 explains (see comparison.ts). On the kind of machine the recordings were made on (AVX-512) hidden states and logits are equal
 * to the bit and log-probabilities differ by 5e-7; these bounds, four steps of bfloat16 at the values' size, are for machines that sum in
 * another order.
 */
const bounds: Bounds = { logprob: 0.0625, hidden: 0.0625, tie: 0.0625 };

/** Exchanges in the order in which they took place (it decides what is cached); `flush` is a /flush_cache in between that was not kept. */
const inOrder = [
  ...[
    'flush',
    'generate_ids_plain_8',
    'generate_ids_plain_1',
    'flush',
    'generate_hs_true_1_cold',
    'generate_hs_true_1_warm',
    'generate_hs_false_8',
  ],
  ...[
    'generate_logprob_top5_8',
    'generate_logprob_top100_1',
    'generate_logprob_top512_hs_2',
    'generate_logprob_start0_top3',
    'generate_text_8',
  ],
  ...['generate_no_sampling_params', 'generate_stop_token_ids', 'generate_stop_token_ids_min_new_tokens', 'generate_batch_ids'],
  ...['generate_batch_ids_sp_list', 'flush', 'generate_batch_hs_cold', 'flush', 'generate_stream_hs_4', 'generate_stream_logprob_top3_4'],
  ...[
    'generate_stream_interval_3',
    'generate_stream_1',
    'error_unknown_field',
    'chat_completion',
    'chat_completion_hs',
    'chat_completion_logprobs',
  ],
  ...['chat_completion_stream', 'chat_completion_stream_usage', 'chat_completion_wrong_model', 'completion', 'flush'],
  ...['prefill_segment_1', 'prefill_segment_2', 'prefill_segment_3', 'prefill_other_key', 'prefill_no_key', 'prefill_warm'],
  'prefill_batch_keys',
];
const errors = [
  ...['error_bad_json', 'error_empty_input_ids', 'error_get_generate', 'error_negative_max_new_tokens', 'error_negative_temperature'],
  ...['error_no_input', 'error_too_long_input', 'error_too_long_input_stream', 'error_unknown_path', 'error_unknown_sampling_param'],
  ...['error_wrong_type', 'chat_completion_error_bad_json', 'chat_completion_error_empty_messages', 'chat_completion_error_too_long'],
  ...['error_extra_key_count', 'error_extra_key_list', 'error_extra_key_number'],
  ...['abort_request_all', 'abort_request_empty_body', 'abort_request_unknown_rid', 'flush_cache', 'get_load', 'get_weight_version'],
];
const information = [
  'model_info',
  'get_model_info',
  'server_info',
  'get_server_info',
  'v1_models',
  'v1_loads',
  'health',
  'health_generate',
];
/** Played by tests of their own, below: they are parts of a conversation. */
const staged = [
  ...[
    'abort_request_during_stream',
    'abort_request_nonstream',
    'generate_stream_aborted',
    'duplicate_rid_first',
    'duplicate_rid_second',
    'metrics',
  ],
  ...['zz_concurrent_mixed_A_stream_plain', 'zz_concurrent_mixed_B_hs', 'zz_concurrent_mixed_after', 'zz_after_batch_hs_mixed_flags'],
];
/** A real SGLang dies of these; we answer 400 and live on. */
const deadly = ['zz_error_bad_token_id_negative', 'zz_after_bad_token_negative', 'zz_after_bad_token_over_vocab'];
/** Sessions are not implemented: the routes answer 404, and session_params is refused. */
const lacking = [
  ...['open_session', 'open_session_dup', 'open_session_named', 'close_session', 'close_session_unknown', 'session_after_close'],
  ...['session_bad_id', 'session_bad_rid', 'session_drop_prev_output', 'session_replace', 'session_turn1', 'session_turn2_append'],
  ...['session_turn3_offset', 'session_turn3_offset_neg1_hs'],
];

/** Sampled at temperature 1: only the form of the answer is fixed. */
const sampled: Rules = [
  [/^(output_ids|meta_info\.finish_reason)$/, 'ignored'],
  [/^(text|meta_info\.completion_tokens|meta_info\.weight_versions\.0\.end)$/, 'typed'],
];
/** Error texts that quote Python's own words, with paths of its files. */
const pythonText: Rules = [[/^message$/, 'typed']];
/** The model lies elsewhere, and the server was started otherwise; everything else of the 556 fields is the same. */
const ownServer: Rules = [
  [
    /^(internal_states\.0\.)?(model_path|tokenizer_path|host|port|launch_command|frontend|last_gen_throughput|mem_fraction_static)$/,
    'typed',
  ],
  [/^(internal_states\.0\.)?(startup_time|memory_usage)\./, 'typed'],
  [/^loads\.0\.decode_moments$/, 'ignored'],
  [/^(loads\.|timestamp$|data\.0\.created$)/, 'typed'],
];

function rulesFor({ name, request }: Recording): Rules {
  if (name === 'generate_no_sampling_params') return [...sampled, ...generateRules];
  if (['error_bad_json', 'error_wrong_type', 'chat_completion_error_bad_json', 'error_extra_key_number'].includes(name)) return pythonText;
  if (information.includes(name)) return ownServer;
  return request.path.startsWith('/v1/') ? openAiRules : generateRules;
}

describe('conformance with recorded SGLang 0.5.23', () => {
  const extremes: Extremes = { logprob: 0, hidden: 0 };
  let engine: RunningEngine;

  before(async () => {
    engine = await startEngine(
      {
        modelPath: join(import.meta.dirname, 'models/slm'),
        servedModelName: 'tiny-slm',
        port: 0,
        contextLength: 2048,
        maxTotalTokens: 16_384,
        maxRunningRequests: 16,
        returnHiddenStates: true,
        metrics: true,
      },
      (error) => {
        throw error;
      },
    );
  });
  after(async () => {
    await engine.close();
    console.log(`      largest differences: log-probability ${extremes.logprob.toExponential(1)}, hidden state ${extremes.hidden}`);
  });

  const play = (name: string) => send(engine.url, readRecording(name).request);
  const check = (recording: Recording, answer: Answer, rules: Rules) => {
    const { response } = recording;
    assert.equal(answer.status, response.status);
    assert.equal(answer.contentType, response.headers['content-type'] ?? null);
    const differences: Difference[] = response.body === undefined ? [] : compareJson(response.body, answer.json, rules, bounds, extremes);
    const events = recordedEvents(recording);
    if (events) differences.push(...compareStreams(events, answer.events ?? [], rules));
    assert.deepEqual(differences.slice(0, 5), []);
  };
  /** Events may be more or fewer (they pile up on either side), so each of ours is compared with the recorded one of the same length. */
  const compareStreams = (expected: readonly unknown[], actual: readonly unknown[], rules: Rules): Difference[] => {
    const tokens = (event: unknown) =>
      (event as { readonly meta_info?: { readonly completion_tokens: number } }).meta_info?.completion_tokens;
    assert.equal(actual.at(-1), '[DONE]');
    return actual.flatMap((event, index) => {
      const length = tokens(event);
      const match = length === undefined ? expected[index] : expected.find((other) => tokens(other) === length);
      return match === undefined ? [] : compareJson(match, event, rules, bounds, extremes, '');
    });
  };

  it('knows what to do with every recording', () => {
    const all = readdirSync(recordingsFolder).map((file) => file.replace('.json', ''));
    const handled = [...inOrder, ...errors, ...information, ...staged, ...deadly, ...lacking];
    assert.deepEqual(
      all.filter((name) => !handled.includes(name)),
      [],
    );
  });

  describe('answers in order, with the same tokens from the cache', () => {
    for (const [index, name] of inOrder.entries()) {
      it(`${index + 1}. ${name}`, async () => {
        if (name === 'flush') {
          assert.equal((await send(engine.url, { method: 'POST', path: '/flush_cache' })).status, 200);
          return;
        }
        const recording = readRecording(name);
        check(recording, await send(engine.url, recording.request), rulesFor(recording));
      });
    }
  });

  describe('answers alike, whatever went before', () => {
    for (const name of [...errors, ...information]) {
      it(name, async () => {
        const recording = readRecording(name);
        check(recording, await send(engine.url, recording.request), rulesFor(recording));
        if (recording.response.body_text !== undefined) assert.equal((await play(name)).text, recording.response.body_text);
      }).timeout(30_000);
    }
  });

  it('streams 400 tokens to one client and hidden states to another at the same time', async () => {
    const [first, second] = [readRecording('zz_concurrent_mixed_A_stream_plain'), readRecording('zz_concurrent_mixed_B_hs')];
    const streaming = send(engine.url, first.request);
    check(second, await send(engine.url, second.request), generateRules);
    const { events } = await streaming;
    const ids = (all: readonly unknown[] | undefined) => (all?.at(-2) as { readonly output_ids: number[] }).output_ids;
    const theirs = recordedEvents(first);
    const same = await assertSameGreedyTokens(engine.url, [1, 2, 3], ids(theirs), ids(events), bounds.tie);
    const upTo = (all: readonly unknown[] | undefined) =>
      (all ?? []).filter((event) => ((event as { readonly output_ids?: number[] }).output_ids?.length ?? Infinity) <= same);
    assert.deepEqual(compareStreams(upTo(theirs), [...upTo(events), '[DONE]'], generateRules).slice(0, 5), []);
  }).timeout(60_000);

  it('ends an aborted stream with what it has', async () => {
    const { request } = readRecording('generate_stream_aborted');
    const response = await fetch(engine.url + request.path, {
      method: 'POST',
      body: JSON.stringify(request.body),
      headers: { 'content-type': 'application/json' },
    });
    let text = '';
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      if (text === '') assert.equal((await play('abort_request_during_stream')).status, 200);
      text += chunk;
    }
    const events = parseEvents(text);
    const recorded = recordedEvents(readRecording('generate_stream_aborted'))!;
    const rules: Rules = [
      [/^output_ids$|^meta_info\.cached_tokens/, 'ignored'],
      [/^(text|meta_info\.completion_tokens|meta_info\.weight_versions\.0\.end)$/, 'typed'],
      ...generateRules,
    ];
    const withoutSent: Rules = [[/response_sent_to_client_ts$/, 'ignored'], ...rules];
    assert.deepEqual(compareJson(recorded.at(-2), events.at(-2), withoutSent, bounds, extremes), []);
    assert.equal(events.at(-1), '[DONE]');
  }).timeout(30_000);

  it('refuses a second request under a live id and serves the first', async () => {
    const first = readRecording('duplicate_rid_first');
    const second = readRecording('duplicate_rid_second');
    const streaming = await fetch(engine.url + '/generate', {
      method: 'POST',
      body: JSON.stringify({ ...(first.request.body as object), stream: true }),
      headers: { 'content-type': 'application/json' },
    });
    check(second, await send(engine.url, second.request), generateRules);
    const events = parseEvents(await streaming.text());
    const { output_ids: ids, text } = first.response.body as { readonly output_ids: number[]; readonly text: string };
    const last = events.at(-2) as { readonly output_ids: number[]; readonly text: string };
    const same = await assertSameGreedyTokens(engine.url, [10, 20, 30, 40, 50], ids, last.output_ids, bounds.tie);
    if (same === ids.length) assert.equal(last.text, text);
  }).timeout(30_000);

  it('ends an aborted request that is not streamed', async () => {
    const running = send(engine.url, {
      method: 'POST',
      path: '/generate',
      body: { rid: 'long-2', input_ids: [10, 20], sampling_params: { max_new_tokens: 2000, temperature: 0, ignore_eos: true } },
    });
    const { status, json } = await Promise.race([running, abortUntilDone(engine.url, 'long-2', running)]);
    assert.equal(status, 200);
    const { finish_reason: finish } = (json as { readonly meta_info: { readonly finish_reason: unknown } }).meta_info;
    assert.deepEqual(finish, { type: 'abort', message: 'Aborted', status_code: null, err_type: null });
  }).timeout(30_000);

  it('publishes metrics that SGLang publishes too, with its labels', async () => {
    const recorded = new Map(series(readRecording('metrics').response.body_text!));
    const { text, contentType } = await play('metrics');
    assert.equal(contentType, 'text/plain; version=0.0.4; charset=utf-8');
    const ours = series(text);
    assert.ok(ours.length > 20);
    for (const [name, labels] of ours) assert.equal(labels, recorded.get(name), `${name} has the labels {${labels}}`);
  });

  it('answers 400 to what kills a real SGLang, and lives on', async () => {
    for (const body of [
      readRecording('zz_error_bad_token_id_negative').request.body,
      { input_ids: [10, 512], sampling_params: { max_new_tokens: 1 } },
      { text: '', sampling_params: { max_new_tokens: 1 } },
      { input_ids: [[]], sampling_params: { max_new_tokens: 1 } },
      { input_ids: [1, 2], return_logprob: true, top_logprobs_num: 513, sampling_params: { max_new_tokens: 1 } },
      { input_ids: [1, 2], return_logprob: true, logprob_start_len: -3, sampling_params: { max_new_tokens: 1 } },
    ]) {
      const answer = await send(engine.url, { method: 'POST', path: '/generate', body });
      assert.equal(answer.status, 400);
      assert.match((answer.json as { readonly error: { readonly message: string } }).error.message, /\S/);
    }
    for (const name of deadly.slice(1)) assert.equal((await play(name)).status, 200);
  }).timeout(30_000);

  it('answers a batch of which one wants hidden states, and is healthy', async () => {
    const body = {
      input_ids: [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
      return_hidden_states: [false, true, false],
      sampling_params: { max_new_tokens: 2, temperature: 0 },
    };
    const { json } = await send(engine.url, { method: 'POST', path: '/generate', body });
    const kept = (json as readonly { readonly meta_info: object }[]).map(({ meta_info: info }) => 'hidden_states' in info);
    assert.deepEqual(kept, [false, true, false]);
    for (const name of ['zz_after_batch_hs_mixed_flags', 'zz_concurrent_mixed_after']) assert.equal((await play(name)).status, 200);
  }).timeout(30_000);

  it('says which routes it lacks', async () => {
    for (const name of lacking) {
      const { request } = readRecording(name);
      assert.equal((await send(engine.url, request)).status, request.path === '/generate' ? 400 : 404, name);
    }
  });
});

/** Aborts until the request has ended: an abort that comes before the request is unknown, as in SGLang. */
async function abortUntilDone(base: string, rid: string, running: Promise<Answer>): Promise<Answer> {
  const ended = new AbortController();
  void running.then(() => ended.abort());
  while (!ended.signal.aborted) await send(base, { method: 'POST', path: '/abort_request', body: { rid } });
  return running;
}

/** Each series' name with the names of its labels. */
function series(text: string): [string, string][] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name = '', labels = ''] = /^([^{\s]+)(?:\{(.*)\})?/.exec(line) ?? [];
      return [
        name,
        [...labels.matchAll(/(\w+)="/g)]
          .map(([, label]) => label)
          .sort()
          .join(','),
      ];
    });
}
