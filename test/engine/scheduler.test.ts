import assert from 'node:assert/strict';
import { join } from 'node:path';
import { emulatedMs, parseEmulation } from '../../src/engine/emulation.ts';
import type { SequenceOutput, SequenceRequest } from '../../src/engine/messages.ts';
import { createModelRunner, type ModelRunner } from '../../src/engine/model-runner.ts';
import { Scheduler } from '../../src/engine/scheduler.ts';
import { loadModelConfig } from '../../src/model/model-config.ts';
import { openWeights } from '../../src/model/safetensors.ts';
import { samplingParams } from './sampling-params.ts';

const folder = join(import.meta.dirname, 'fixtures/qwen2');
const greedy = { ...samplingParams, topK: 1, ignoreEos: true };

function request(rid: string, promptIds: readonly number[], change: Partial<SequenceRequest> = {}): SequenceRequest {
  return {
    rid,
    promptIds: Int32Array.from(promptIds),
    sampling: greedy,
    stream: false,
    logprobs: undefined,
    hiddenStates: false,
    ...change,
  };
}

describe('scheduler', function () {
  this.timeout(30_000);
  let runner: ModelRunner;
  const holds: number[] = [];
  const make = (change: { readonly poolTokens?: number; readonly maxRunning?: number; readonly chunkedPrefillSize?: number } = {}) =>
    new Scheduler(runner, {
      poolTokens: 256,
      maxRunning: 8,
      maxPrefillTokens: 1024,
      chunkedPrefillSize: 4096,
      endIds: new Set([95]),
      decode: (ids) => ids.map((id) => `<${id}>`).join(''),
      now: () => performance.now(),
      hold: (_startedAt, promptTokens) => holds.push(promptTokens),
      ...change,
    });
  /** Steps until nothing is left to do; all reports by request, joined. */
  const finish = async (scheduler: Scheduler, seen: SequenceOutput[] = []) => {
    while (!scheduler.idle) seen.push(...(await scheduler.step()));
    const rids = [...new Set(seen.map(({ rid }) => rid))];
    return new Map(rids.map((rid) => [rid, seen.filter((output) => output.rid === rid)]));
  };
  const ids = (outputs: readonly SequenceOutput[] | undefined) => outputs?.flatMap((output) => output.ids);

  before(async () => {
    runner = await createModelRunner(await loadModelConfig(folder), await openWeights(folder), { poolTokens: 256, threads: 1 });
  });

  it('gives each sequence the same tokens, log-probabilities and states alone and among others', async () => {
    const logprobs = { startLength: -1, topCount: 5, tokenIds: [3] };
    const requests = Array.from({ length: 6 }, (_, index) =>
      request(
        String(index),
        Array.from({ length: 3 + 4 * index }, (_unused, at) => (at * 13 + index) % 90),
        { logprobs, hiddenStates: true },
      ),
    );
    const together = make();
    requests.forEach((each) => together.add(each));
    const joint = await finish(together);
    for (const each of requests) {
      const single = make();
      single.add(each);
      const alone = (await finish(single)).get(each.rid)!;
      const among = joint.get(each.rid)!;
      assert.deepEqual(ids(among), ids(alone));
      assert.deepEqual(
        among.flatMap((output) => output.logprobs),
        alone.flatMap((output) => output.logprobs),
      );
      assert.deepEqual(
        among.flatMap((output) => output.hiddenStates),
        alone.flatMap((output) => output.hiddenStates),
      );
    }
  });

  it('takes the cached prefix from an earlier request, whose output belongs to it too', async () => {
    const scheduler = make();
    scheduler.add(request('a', [1, 2, 3, 4]));
    const first = ids((await finish(scheduler)).get('a'))!;
    const longer = [1, 2, 3, 4, ...first, 9];
    scheduler.add(request('b', longer));
    const [report] = (await finish(scheduler)).get('b')!;
    // the last token's keys and values were never computed
    assert.equal(report!.cachedTokens, 4 + first.length - 1);
    const fresh = make();
    fresh.add(request('c', longer));
    assert.deepEqual(report!.ids, ids((await finish(fresh)).get('c')));
    assert.equal(scheduler.state().usedTokens, 0);
    assert.ok(scheduler.flush());
    assert.equal(scheduler.state().evictableTokens, 0);
  });

  it('lets a request wait until others free their share of the pool, in order', async () => {
    const scheduler = make({ poolTokens: 30 });
    for (const rid of ['a', 'b', 'c'])
      scheduler.add(
        request(
          rid,
          Array.from({ length: 12 }, (_, at) => (at * 5 + rid.charCodeAt(0)) % 96),
        ),
      );
    const seen = await scheduler.step();
    assert.deepEqual([scheduler.state().running, scheduler.state().waiting], [1, 2]);
    const all = await finish(scheduler, seen);
    assert.deepEqual([...all.keys()], ['a', 'b', 'c']);
    assert.deepEqual(
      [...all.values()].map((outputs) => ids(outputs)!.length),
      [8, 8, 8],
    );
  });

  it('runs no more requests at a time than allowed', async () => {
    const scheduler = make({ maxRunning: 2 });
    for (const rid of ['a', 'b', 'c']) scheduler.add(request(rid, [5, 6, 7]));
    await scheduler.step();
    assert.deepEqual([scheduler.state().running, scheduler.state().waiting], [2, 1]);
    assert.equal((await finish(scheduler)).size, 3);
  });

  it('ends on an end token, a stop token, a stop string that spans tokens, and at the length', async () => {
    const scheduler = make();
    const sampling = { ...greedy, ignoreEos: false };
    scheduler.add(request('free', [11, 12, 13], { sampling }));
    const free = ids((await finish(scheduler)).get('free'))!;
    assert.equal(free.length, 8);
    const [first, second] = [free[1]!, free[2]!];
    for (const [rid, change, matched] of [
      ['id', { stopTokenIds: [first] }, first],
      ['string', { stop: [`${first}><${second}`], stopTokens: 3 }, `${first}><${second}`],
    ] as const) {
      scheduler.add(request(rid, [11, 12, 13], { sampling: { ...sampling, ...change } }));
      const outputs = (await finish(scheduler)).get(rid)!;
      assert.deepEqual(outputs.at(-1)!.finish, { type: 'stop', matched });
      assert.equal(ids(outputs)!.length, free.indexOf(rid === 'id' ? first : second) + 1);
    }
    scheduler.add(request('eos', [11, 12, 13], { sampling: { ...sampling, logitBias: [[95, 1000]] } }));
    assert.deepEqual((await finish(scheduler)).get('eos')!.at(-1)!.finish, { type: 'stop', matched: 95 });
    scheduler.add(request('late', [11, 12, 13], { sampling: { ...sampling, logitBias: [[95, 100]], minNewTokens: 3 } }));
    const late = ids((await finish(scheduler)).get('late'))!;
    assert.equal(late.indexOf(95), 3);
  });

  it('reports a stream token by token or by interval, and holds back what may become a stop', async () => {
    const scheduler = make();
    scheduler.add(request('each', [21, 22], { stream: true }));
    scheduler.add(request('third', [21, 22], { stream: true, sampling: { ...greedy, streamInterval: 3 } }));
    const all = await finish(scheduler);
    assert.deepEqual(
      all.get('each')!.map(({ completionTokens }) => completionTokens),
      [1, 2, 3, 4, 5, 6, 7, 8],
    );
    assert.deepEqual(
      all.get('third')!.map(({ completionTokens }) => completionTokens),
      [1, 4, 7, 8],
    );
    const tokens = ids(all.get('each'))!;
    scheduler.add(request('held', [21, 22], { stream: true, sampling: { ...greedy, stop: [`<${tokens[1]}><nothing`], stopTokens: 3 } }));
    const held = (await finish(scheduler)).get('held')!.map(({ completionTokens }) => completionTokens);
    assert.ok(!held.includes(2), 'the second token begins the stop string');
  });

  it('aborts a waiting request at once and a running one with its next token', async () => {
    const scheduler = make({ maxRunning: 1 });
    scheduler.add(request('running', [1, 2]));
    scheduler.add(request('waiting', [3, 4]));
    await scheduler.step();
    assert.deepEqual(scheduler.abort('nobody'), []);
    assert.deepEqual(
      scheduler.abort('waiting').map(({ finish: reason }) => reason),
      [{ type: 'abort', message: 'Abort in waiting queue', status_code: null, err_type: null }],
    );
    scheduler.abort(undefined);
    const outputs = (await finish(scheduler)).get('running')!;
    assert.deepEqual(outputs.at(-1)!.finish, { type: 'abort', message: 'Aborted', status_code: null, err_type: null });
    assert.equal(outputs.at(-1)!.completionTokens, 2);
    assert.equal(scheduler.state().usedTokens, 0);
  });

  it('computes only the prompt when no token is asked for', async () => {
    const scheduler = make();
    scheduler.add(request('none', [1, 2, 3], { sampling: { ...greedy, maxNewTokens: 0 }, hiddenStates: true }));
    const [output] = (await finish(scheduler)).get('none')!;
    assert.deepEqual([output!.ids, output!.hiddenStates, output!.finish], [[], [], { type: 'length', length: 0 }]);
  });

  it('gives prompt log-probabilities that equal those of decoding, computing the prompt again where it was cached', async () => {
    const scheduler = make();
    const logprobs = { startLength: -1, topCount: 0, tokenIds: [] };
    scheduler.add(request('output', [31, 32, 33], { logprobs }));
    const output = (await finish(scheduler)).get('output')!;
    const tokens = ids(output)!;
    scheduler.add(request('prompt', [31, 32, 33, ...tokens], { logprobs: { ...logprobs, startLength: 2 } }));
    const [again] = (await finish(scheduler)).get('prompt')!;
    assert.equal(again!.cachedTokens, 2);
    assert.deepEqual(again!.promptLogprobs!.ids, [33, ...tokens]);
    assert.equal(again!.promptLogprobs!.logprobs[0], null);
    const decoded = output.flatMap((each) => each.logprobs).map(({ logprob }) => logprob);
    for (const [index, value] of again!.promptLogprobs!.logprobs.slice(1).entries()) assert.ok(Math.abs(value! - decoded[index]!) < 0.05);
  });

  it('gives rows of a prompt in segments that equal those of the whole, when all of them have a key of their own', async () => {
    const prompt = Array.from({ length: 30 }, (_, at) => (at * 11 + 3) % 90);
    const logprobs = { startLength: 0, topCount: 3, tokenIds: [] };
    const scheduler = make();
    const states = async (rid: string, from: number, to: number, cacheKey: string, chosen = scheduler) => {
      const segment = { logprobs: { ...logprobs, startLength: from }, hiddenStates: true, cacheKey };
      chosen.add(request(rid, prompt.slice(0, to), { ...segment, sampling: { ...greedy, maxNewTokens: 1 } }));
      const [output] = (await finish(chosen)).get(rid)!;
      return { cached: output!.cachedTokens, states: output!.hiddenStates[0]!, top: output!.promptLogprobs!.top };
    };
    const segments = [await states('first', 0, 12, 'a'), await states('second', 12, 24, 'a'), await states('third', 24, 30, 'a')];
    assert.deepEqual(
      segments.map(({ cached, states: rows, top }) => [cached, rows.length / runner.hiddenSize, top.length, top[0]]),
      [
        [0, 12, 12, null],
        [12, 12, 12, null],
        [24, 6, 6, null],
      ],
    );
    assert.equal((await states('other', 12, 24, 'b')).cached, 0);
    const { states: whole } = await states('whole', 0, 30, 'c', make());
    const joined = segments.flatMap(({ states: rows }) => [...rows]);
    for (const [index, value] of joined.entries()) assert.ok(Math.abs(value - whole[index]!) < 0.05, `${value} ${whole[index]!}`);
  });

  it('gives hidden states of the last prefill chunk only', async () => {
    const scheduler = make({ chunkedPrefillSize: 4 });
    scheduler.add(
      request(
        'chunks',
        Array.from({ length: 10 }, (_, at) => at),
        { hiddenStates: true },
      ),
    );
    const [output] = (await finish(scheduler)).get('chunks')!;
    assert.equal(output!.hiddenStates[0]!.length, 2 * runner.hiddenSize);
  });

  it('ends a request whose computation fails, and serves the next', async () => {
    let broken = true;
    const failing: ModelRunner = {
      vocabSize: runner.vocabSize,
      hiddenSize: runner.hiddenSize,
      forward: (pass) => (broken ? Promise.reject(new Error('out of memory')) : runner.forward(pass)),
    };
    const whole = runner;
    runner = failing;
    const scheduler = make();
    runner = whole;
    scheduler.add(request('lost', [1, 2]));
    const [lost] = (await finish(scheduler)).get('lost')!;
    assert.match(JSON.stringify(lost!.finish), /out of memory.*500/);
    broken = false;
    scheduler.add(request('next', [1, 2]));
    assert.equal(ids((await finish(scheduler)).get('next'))!.length, 8);
    assert.equal(scheduler.state().usedTokens, 0);
  });

  it('holds each step for as long as its kind takes: prompts by their new tokens, decoding once for all', async () => {
    holds.length = 0;
    const scheduler = make();
    const sampling = { ...greedy, maxNewTokens: 3 };
    scheduler.add(request('a', [1, 2, 3, 4], { sampling }));
    scheduler.add(request('b', [5, 6], { sampling }));
    await finish(scheduler);
    assert.deepEqual(holds, [6, 0, 0]);
  });
});

describe('emulation', () => {
  it('takes a step time for decoding and one for prompts, by length', () => {
    const emulation = parseEmulation('decode=3.1, prefill=0.05');
    assert.deepEqual(emulation, { decode: 3.1, extend: 3.1, prefill: 0.05 });
    assert.equal(emulatedMs(emulation, 0), 3.1);
    assert.equal(emulatedMs(emulation, 100), 8.1);
    assert.equal(emulatedMs(undefined, 100), 0);
    assert.equal(emulatedMs(parseEmulation('decode=3,extend=5'), 2), 5);
  });

  for (const [text, message] of [
    ['decod=3', /no setting "decod"; there are decode, extend, prefill/],
    ['decode=fast', /decode must be milliseconds, got "fast"/],
    ['decode=-1', /got "-1"/],
    ['decode', /got ""/],
  ] as const) {
    it(`refuses ${text}`, () => assert.throws(() => parseEmulation(text), message));
  }
});
