import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Tokenizer } from '../../../src/model/tokenizer.ts';
import { defaultTuning, type StepContext, type StepEngine } from '../../../src/pipeline/step.ts';
import { constructStep } from '../../../src/pipeline/construct/construct-step.ts';
import { examplesOf } from '../../../src/pipeline/report/examples.ts';
import { openLabelChain } from '../../../src/pipeline/report/label-chain.ts';
import { makeSpec, runStep } from '../../../src/pipeline/run-step.ts';
import { Workspace } from '../../../src/pipeline/workspace/workspace.ts';
import { continuationsTable, prefillTable, responsesTable, verdictsTable } from '../../../src/pipeline/tables.ts';
import { EngineError, type GenerateCall, type SglangClient } from '../../../src/sglang/index.ts';
import { finishedFiles, leftovers, temporaryFolder } from '../files.ts';
import {
  rowsOf,
  runTinyStep,
  runTinySteps,
  startTinyEngines,
  tinyContext,
  tinyParams,
  type Engines,
  type Manifests,
  type TinyStep,
} from './tiny-run.ts';

const count = 4;
const params = tinyParams('train', count);

/** The same server, behind which `before` may fail or wait. */
function behind(engine: StepEngine, before: (call: GenerateCall) => Promise<void>): StepEngine {
  const { client } = engine;
  const generate: SglangClient['generate'] = async (call, signal) => {
    await before(call);
    return client.generate(call, signal);
  };
  const others = { contextLength: (signal?: AbortSignal) => client.contextLength(signal) };
  return { ...engine, client: { ...others, generate } as unknown as SglangClient };
}

describe('respond, continue and verify', function () {
  this.timeout(120_000);
  let folder: string;
  let whole: string;
  let engines: Engines;
  let close: () => Promise<void>;
  let done: Manifests;
  let files: Readonly<Record<string, string>>;

  before(async () => {
    folder = temporaryFolder();
    whole = join(folder, 'whole');
    ({ engines, close } = await startTinyEngines());
    done = await runTinySteps(params, () => tinyContext(whole, engines));
    files = finishedFiles(whole);
  });
  after(async () => {
    await close();
    rmSync(folder, { recursive: true });
  });

  /** A workspace in which all steps before one are done. */
  function workspaceBefore(step: TinyStep, name: string): string {
    const copy = join(folder, name);
    cpSync(whole, copy, { recursive: true });
    const order: readonly string[] = ['convert', 'respond', 'prefill', 'continue', 'verify'];
    for (const entry of readdirSync(copy))
      if (order.indexOf(entry.split('-')[0] ?? '') >= order.indexOf(step)) rmSync(join(copy, entry), { recursive: true });
    return copy;
  }

  function sameAsWhole(copy: string, step: TinyStep): void {
    const of = (all: Readonly<Record<string, string>>) =>
      Object.fromEntries(Object.entries(all).filter(([name]) => name.startsWith(`${step}-`)));
    assert.ok(Object.keys(of(files)).length > 0);
    assert.deepEqual(of(finishedFiles(copy)), of(files));
    assert.deepEqual(leftovers(copy), []);
  }

  it('ask every question once, and keep what was said to the last token', async () => {
    const { tokenizer } = engines.llm;
    const rows = await rowsOf(whole, done.respond!, 'finished', responsesTable);
    assert.deepEqual(
      rows.map(({ data_id: dataId }) => dataId),
      [0, 1, 2, 3],
    );
    assert.deepEqual(done.respond?.counts, {
      questions: 4,
      finished: 4,
      unfinished: 0,
      tokens: rows.reduce((sum, row) => sum + row.output_tokens, 0),
    });
    for (const row of rows) {
      assert.equal(row.input_text.split('<|im_start|>').length, 3, 'the template is there once');
      assert.deepEqual(Array.from(row.input_ids), engines.slm.tokenizer.encode(row.input_text));
      assert.equal(Array.from(row.output_ids).at(-1), tokenizer.tokenToId.get('<|im_end|>'));
      assert.match(row.model_reasoning, /^Now \d+ .*\.$/s);
      assert.match(row.model_response, /^[^<]*\d+\.$/);
      assert.ok(row.is_finished && row.finish === 'stop');
    }
  });

  it('continue where the SLM would say something else, and nowhere else', async () => {
    const table = prefillTable({ hiddenSize: 64, hiddenType: 'bfloat16', topCount: 100 });
    const predictions = await rowsOf(whole, done.prefill!, 'rows', table);
    const thinkEnd = engines.slm.tokenizer.tokenToId.get('</think>');
    const expected = predictions
      .filter((row) => row.token_type > 0 && row.slm_token !== row.next_token && row.next_token !== thinkEnd)
      .map((row) => [row.data_id, row.token_id + 1, row.next_token, row.slm_token]);
    const rows = await rowsOf(whole, done.continue!, 'continuations', continuationsTable);
    assert.deepEqual(
      rows.map((row) => [row.data_id, row.token_id, row.real_token, row.pred_small_token]),
      expected,
    );
    assert.ok(rows.length > 10);
    const responses = new Map((await rowsOf(whole, done.respond!, 'finished', responsesTable)).map((row) => [row.data_id, row]));
    for (const row of rows) {
      const said = responses.get(row.data_id)!;
      const text = engines.llm.tokenizer.decode(Array.from(said.output_ids), { keepSpecialTokens: true });
      assert.ok(text.includes(row.common_context + row.reference_diverge_text.replace('<<', '').replace('>>', '')));
      assert.match(row.small_diverge_text, /<<.*>>/s);
      assert.ok(row.small_output_ids.length > 0 && row.small_finish !== 'length');
    }
  });

  it('judge each of them, with 0 or 1', async () => {
    const rows = await rowsOf(whole, done.verify!, 'verdicts', verdictsTable);
    const continued = await rowsOf(whole, done.continue!, 'continuations', continuationsTable);
    assert.deepEqual(
      rows.map((row) => [row.data_id, row.token_id]),
      continued.map((row) => [row.data_id, row.token_id]),
    );
    assert.ok(rows.every((row) => row.divergent === Number(row.verify_response) && row.attempts === 1));
    const { divergent = 0, neutral = 0 } = done.verify?.counts ?? {};
    assert.ok(divergent > 0 && neutral > 0 && divergent + neutral === rows.length);
  });

  // upstream takes a failed continuation for an empty one, which is then judged
  for (const step of ['respond', 'continue', 'verify'] as const)
    it(`${step}: failures of the engine are tried again, and change nothing`, async () => {
      const copy = workspaceBefore(step, `failures-${step}`);
      const codes = ['unreachable', 'timeout', 'malformed', 'server_error', 'overloaded', 'aborted'] as const;
      let calls = 0;
      const flaky = (engine: StepEngine): StepEngine =>
        behind(engine, () => {
          const code = codes[calls++ % 12];
          return code ? Promise.reject(new EngineError(code, engine.url, 'scripted')) : Promise.resolve();
        });
      const role = step === 'verify' ? 'verifier' : 'llm';
      const context = tinyContext(
        copy,
        { ...engines, [role]: flaky(engines[role]) },
        { tuning: { ...defaultTuning, maxRetries: 40, retryDelayMs: 0 } },
      );
      await runTinyStep(step, params[step], done, context);
      assert.ok(calls > 4);
      sameAsWhole(copy, step);
    });

  for (const step of ['respond', 'continue', 'verify'] as const)
    it(`${step}: an engine that stays away ends it, and it goes on where it was`, async () => {
      const copy = workspaceBefore(step, `gone-${step}`);
      const role = step === 'verify' ? 'verifier' : 'llm';
      let answered = 0;
      const leaving = behind(engines[role], () =>
        ++answered <= 3 ? Promise.resolve() : Promise.reject(new EngineError('unreachable', engines[role].url, 'connection refused')),
      );
      const tuning = { ...defaultTuning, concurrency: 1, maxRetries: 1, retryDelayMs: 0 };
      const running = runTinyStep(step, params[step], done, tinyContext(copy, { ...engines, [role]: leaving }, { tuning }));
      await assert.rejects(running, { code: 'PIPELINE_ENGINE', step, shard: 0, field: `engines.${role}`, retryable: true });
      let again = 0;
      const counting = behind(engines[role], async () => {
        again++;
        await Promise.resolve();
      });
      const context = tinyContext(copy, { ...engines, [role]: counting });
      await runTinyStep(step, params[step], done, context);
      sameAsWhole(copy, step);
      assert.ok(context.progress.report().resumed > 0, 'what was answered is not asked again');
      assert.ok(again > 0);
    });

  for (const step of ['respond', 'continue', 'verify'] as const)
    it(`${step}: stopped in the middle, it goes on and leaves the same bytes`, async () => {
      const copy = workspaceBefore(step, `stopped-${step}`);
      const role = step === 'verify' ? 'verifier' : 'llm';
      for (const after of [1, 2, 5]) {
        const stop = new AbortController();
        let calls = 0;
        const counted = behind(engines[role], () => {
          if (++calls > after) stop.abort(new Error('told to'));
          return Promise.resolve();
        });
        const context = tinyContext(copy, { ...engines, [role]: counted }, { signal: stop.signal });
        await runTinyStep(step, params[step], done, context).then(
          () => assert.ok(calls <= after),
          (error: unknown) => assert.equal((error as { code?: string }).code, 'PIPELINE_STOPPED'),
        );
      }
      await runTinyStep(step, params[step], done, tinyContext(copy, engines));
      sameAsWhole(copy, step);
    });

  // upstream appends to the file that is there, and finds its place in it by texts of which empty ones have become NaN
  it('verify: resumed, it has each comparison once, and asks about no "nan" where a context is empty', async () => {
    const copy = workspaceBefore('verify', 'resumed-verify');
    const stop = new AbortController();
    const prompts: string[] = [];
    const { tokenizer } = engines.verifier;
    const listening = behind(engines.verifier, ({ ids }) => {
      prompts.push(tokenizer.decode([...ids]));
      if (prompts.length === 3) stop.abort(new Error('told to'));
      return Promise.resolve();
    });
    const asked = { ...engines, verifier: listening };
    const tuning = { ...defaultTuning, concurrency: 1 };
    const stopped = runTinyStep('verify', params.verify, done, tinyContext(copy, asked, { tuning, signal: stop.signal }));
    await assert.rejects(stopped, { code: 'PIPELINE_STOPPED' });
    const manifest = await runTinyStep('verify', params.verify, done, tinyContext(copy, asked, { tuning }));
    const keys = (rows: readonly { readonly data_id: number; readonly token_id: number }[]) =>
      rows.map(({ data_id: question, token_id: at }) => `${question}/${at}`);
    const compared = await rowsOf(copy, done.continue!, 'continuations', continuationsTable);
    const judged = keys(await rowsOf(copy, manifest, 'verdicts', verdictsTable));
    assert.deepEqual(judged, keys(compared));
    assert.equal(new Set(judged).size, judged.length);
    assert.ok(compared.some(({ common_context: context }) => context === ''));
    assert.ok(prompts.length >= judged.length);
    for (const prompt of prompts) assert.doesNotMatch(prompt, /\bnan\b/i);
  });

  it('killed at random instants, they leave the same bytes', async () => {
    const copy = join(folder, 'killed');
    const urls = Object.fromEntries(Object.entries(engines).map(([role, { url }]) => [role, url]));
    const program = join(import.meta.dirname, 'tiny-process.ts');
    let kills = 0;
    for (let seed = 1; ; seed++) {
      const child = spawn(process.execPath, [program, copy, String(count), JSON.stringify(urls)], { stdio: ['ignore', 'pipe', 'inherit'] });
      const exit = once(child, 'exit');
      await once(child.stdout, 'data');
      if (kills < 8) {
        await sleep((seed * 7919) % 700);
        child.kill('SIGKILL');
      }
      const [code] = (await exit) as [number | null];
      if (code === null) {
        kills++;
        continue;
      }
      assert.equal(code, 0);
      for (const step of ['respond', 'continue', 'verify'] as const) sameAsWhole(copy, step);
      if (kills >= 8) break;
      // it was faster than the kill: once more from the beginning
      rmSync(copy, { recursive: true });
    }
  });

  it('continue with many requests in flight, most of whose prompts the engine has read already', async () => {
    const copy = workspaceBefore('continue', 'cache');
    const { client } = engines.llm;
    assert.equal((await fetch(`${client.url}/flush_cache`, { method: 'POST' })).status, 200);
    let [inFlight, most, cached, read, calls] = [0, 0, 0, 0, 0];
    const generate: SglangClient['generate'] = async (call, signal) => {
      most = Math.max(most, ++inFlight);
      const answer = await client.generate(call, signal);
      inFlight--;
      calls++;
      cached += answer.cachedTokens;
      read += call.ids.length - answer.cachedTokens;
      return answer;
    };
    const watched = { generate, contextLength: () => client.contextLength() } as unknown as SglangClient;
    await runTinyStep('continue', params.continue, done, tinyContext(copy, { ...engines, llm: { ...engines.llm, client: watched } }));
    assert.ok(most >= 8 && most <= defaultTuning.concurrency, `${most} in flight`);
    const longest = new Map<number, number>();
    for (const row of await rowsOf(whole, done.continue!, 'continuations', continuationsTable)) longest.set(row.data_id, row.token_id + 1);
    // once the longest prompt of each question, and of each call its last tokens
    const least = [...longest.values()].reduce((sum, tokens) => sum + tokens, 0);
    assert.ok(read < least + 2 * calls, `${read} tokens of the prompts were read, ${cached} found, at least ${least} had to be read`);
  });

  it('in shards leave the same bytes', async () => {
    const many = { ...tinyParams('train', 10), verify: params.verify };
    const respond = { ...many.respond, maxNewTokens: 12 };
    const [one, two] = [join(folder, 'one-shard'), join(folder, 'two-shards')];
    const converted = (copy: string) => runTinyStep('convert', many.convert, {}, tinyContext(copy, {}));
    const whole10 = await runTinyStep('respond', respond, { convert: await converted(one) }, tinyContext(one, engines));
    assert.deepEqual(whole10.counts, { questions: 10, finished: 0, unfinished: 10, tokens: 120 });
    const before = { convert: await converted(two) };
    const shard = (index: number): StepContext => tinyContext(two, engines, { shard: { index, count: 2 } });
    await assert.rejects(runTinyStep('respond', respond, before, shard(1)), /not sealed/);
    await runTinyStep('respond', respond, before, shard(0));
    assert.deepEqual(finishedManifest(two), finishedManifest(one));
    const rows = await rowsOf(two, whole10, 'unfinished', responsesTable);
    assert.ok(rows.every((row) => !row.is_finished && row.finish === 'length' && row.output_tokens === 12));
  });

  function finishedManifest(copy: string): Readonly<Record<string, string>> {
    return Object.fromEntries(Object.entries(finishedFiles(copy)).filter(([name]) => /^respond-[^/]+\/(data|manifest)/.test(name)));
  }

  it('answer the questions that are named', async () => {
    const copy = workspaceBefore('respond', 'named');
    const named = { ...params.respond, itemIds: ['tiny/train-003', 'tiny/train-001'], maxNewTokens: 3 };
    const manifest = await runTinyStep('respond', named, done, tinyContext(copy, engines));
    const rows = await rowsOf(copy, manifest, 'unfinished', responsesTable);
    assert.deepEqual(
      rows.map(({ id }) => id),
      ['tiny/train-001', 'tiny/train-003'],
    );
    const wrong = { ...named, itemIds: ['tiny/train-001', 'tiny/nobody'] };
    await assert.rejects(runTinyStep('respond', wrong, done, tinyContext(copy, engines)), {
      code: 'PIPELINE_PARAMS',
      step: 'respond',
      field: 'params.itemIds',
      message: /tiny\/nobody/,
    });
  });

  it('label what the SLM wrote by what the LLM, reading along, would have said', async () => {
    const copy = join(folder, 'slm-writes');
    const asked = { ...params, respond: { ...params.respond, writer: 'slm' } };
    const manifests = await runTinySteps(asked, () => tinyContext(copy, engines));
    const table = prefillTable({ hiddenSize: 64, hiddenType: 'bfloat16', topCount: 100 });
    const predictions = await rowsOf(copy, manifests.prefill!, 'rows', table);
    // but where two tokens are all but equal it says again what it wrote
    const again = predictions.filter(({ token_type: type, slm_token: token, next_token: next }) => type > 0 && token === next);
    const own = new Set(again.map((row) => `${row.data_id}/${row.token_id + 1}`));
    const answering = predictions.filter(({ token_type: type }) => type > 0).length;
    assert.ok(own.size >= 0.98 * answering, `${own.size} of ${answering}`);
    const said = await rowsOf(copy, manifests.respond!, 'finished', responsesTable);
    const rows = await rowsOf(copy, manifests.continue!, 'continuations', continuationsTable);
    const thinkEnd = engines.llm.tokenizer.tokenToId.get('</think>');
    // asked token by token, the LLM says the same, and parts from the texts there and nowhere else
    const expected: (readonly number[])[] = [];
    for (const { data_id: dataId, input_ids: input, output_ids: output } of said) {
      const ids = [...Array.from(input), ...Array.from(output)];
      const begins = ids.indexOf(engines.slm.tokenizer.tokenToId.get('<think>') ?? -1);
      for (let at = begins + 1; at < ids.length; at++) {
        const { tokens } = await engines.llm.client.generate({ ids: ids.slice(0, at), maxNewTokens: 1, timeoutMs: 10_000 });
        const token = tokens[0]?.id ?? -1;
        if (token !== ids[at] && token !== thinkEnd && own.has(`${dataId}/${at}`)) expected.push([dataId, at, token, ids[at] ?? -1]);
      }
    }
    assert.deepEqual(
      rows.map((row) => [row.data_id, row.token_id, row.real_token, row.pred_small_token]),
      expected,
    );
    for (const row of rows) assert.ok(row.real_token !== row.pred_small_token && row.small_diverge_text !== row.reference_diverge_text);
    const { divergent = 0, neutral = 0 } = manifests.verify?.counts ?? {};
    assert.ok(divergent > 0 && neutral > 0 && divergent + neutral === rows.length);
    // stopped in the middle, it goes on and leaves the same bytes
    const resumed = join(folder, 'slm-writes-again');
    cpSync(copy, resumed, { recursive: true });
    for (const entry of readdirSync(resumed)) if (/^(continue|verify)-/.test(entry)) rmSync(join(resumed, entry), { recursive: true });
    const stop = new AbortController();
    let calls = 0;
    const counted = behind(engines.llm, () => {
      if (++calls > 30) stop.abort(new Error('told to'));
      return Promise.resolve();
    });
    const tuning = { ...defaultTuning, concurrency: 1 };
    const stopped = tinyContext(resumed, { ...engines, llm: counted }, { signal: stop.signal, tuning });
    await assert.rejects(runTinyStep('continue', asked.continue, manifests, stopped), { code: 'PIPELINE_STOPPED' });
    await runTinyStep('continue', asked.continue, manifests, tinyContext(resumed, engines));
    const continued = (all: Readonly<Record<string, string>>) => Object.entries(all).filter(([name]) => name.startsWith('continue-'));
    assert.deepEqual(continued(finishedFiles(resumed)), continued(finishedFiles(copy)));

    const inputs = Object.fromEntries(
      constructStep.inputs.map((name) => [name, { hash: manifests[name]?.hash ?? '', digest: manifests[name]?.digest ?? '' }]),
    );
    const construct = makeSpec(constructStep, { validationShare: 0.25, testShare: 0.25 }, inputs);
    const outcome = await runStep(constructStep, construct, tinyContext(copy, {}));
    assert.ok(outcome.sealed);
    assert.deepEqual(
      [outcome.manifest.counts['divergent'], outcome.manifest.counts['neutral'], outcome.manifest.counts['rows']],
      [divergent, neutral, predictions.length],
    );
    const chain = await openLabelChain(new Workspace(copy));
    const places = new Set(rows.map((row) => `${row.data_id}/${row.token_id}`));
    const { identical } = await examplesOf(chain, { count: 200 });
    assert.ok(identical.length > 20);
    assert.ok(identical.every(({ dataId, tokenId }) => !places.has(`${dataId}/${tokenId}`)));
  });

  it('refuse two models of different families', async () => {
    const copy = workspaceBefore('respond', 'families');
    const other: Tokenizer = {
      ...engines.slm.tokenizer,
      tokenToId: new Map([...engines.slm.tokenizer.tokenToId].map(([token, id]) => [token, id + 1])),
    };
    const context = tinyContext(copy, { ...engines, slm: { ...engines.slm, tokenizer: other } });
    await assert.rejects(runTinyStep('respond', params.respond, done, context), {
      code: 'PIPELINE_MODEL',
      step: 'respond',
      field: 'models',
      retryable: false,
      message: /two families.*tokens differ/,
    });
  });

  it('refuse a verifier that answers nonsense, and ask again what it was asked when it has been put right', async () => {
    const copy = workspaceBefore('verify', 'nonsense');
    const asVerifier: StepEngine = { ...engines.llm, role: 'verifier' };
    const asked: number[] = [];
    const counted = behind(asVerifier, async () => {
      asked.push(1);
      await Promise.resolve();
    });
    const running = runTinyStep('verify', params.verify, done, tinyContext(copy, { verifier: counted }));
    await assert.rejects(running, {
      code: 'PIPELINE_VERIFIER',
      step: 'verify',
      shard: 0,
      field: 'params.maxUnknownShare',
      retryable: false,
    });
    assert.equal(asked.length, 2 * (done.continue?.counts['mismatches'] ?? 0), 'each is asked in both forms');
    await runTinyStep('verify', params.verify, done, tinyContext(copy, engines));
    sameAsWhole(copy, 'verify');
  });
});
