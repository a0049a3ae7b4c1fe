import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunningEngine } from '../../../src/engine/server.ts';
import { startEngine } from '../../../src/engine/server.ts';
import { roundToBfloat16 } from '../../../src/model/number-formats.ts';
import { openRowTable } from '../../../src/model/row-table.ts';
import { openWeights } from '../../../src/model/safetensors.ts';
import { loadTokenizer } from '../../../src/model/tokenizer-folder.ts';
import type { Tokenizer } from '../../../src/model/tokenizer.ts';
import { PipelineError } from '../../../src/pipeline/errors.ts';
import { prefillStep } from '../../../src/pipeline/prefill/prefill-step.ts';
import { makeSpec, runStep } from '../../../src/pipeline/run-step.ts';
import { FinishedStep } from '../../../src/pipeline/step-reader.ts';
import type { StepInput } from '../../../src/pipeline/step-identity.ts';
import type { Tuning } from '../../../src/pipeline/step.ts';
import { prefillTable, responsesTable, type PrefillRow, type ResponseRow } from '../../../src/pipeline/tables.ts';
import { unpackIntegers, unpackVector } from '../../../src/pipeline/vectors.ts';
import type { StepManifest } from '../../../src/pipeline/workspace/manifest.ts';
import { Workspace } from '../../../src/pipeline/workspace/workspace.ts';
import { SglangClient, type PrefillCall } from '../../../src/sglang/index.ts';
import { tinyModels } from '../../router/tiny-pair.ts';
import { toyContext } from '../toy-steps.ts';
import { writeStep } from '../written-step.ts';

const vocabSize = 480;
const shape = { hiddenSize: 64, hiddenType: 'bfloat16', topCount: 100 } as const;
const names = { models: { slm: { name: 'tiny-slm' } } };
const questionCount = 12;
const longQuestion = questionCount;

/** What bfloat16 leaves open where two logits are nearly the same. */
const tie = 0.3;

interface Run {
  readonly params?: object;
  readonly tuning?: Partial<Tuning>;
  readonly shards?: number;
  readonly modelFolder?: string;
  readonly signal?: AbortSignal;
  readonly beforeCall?: (call: PrefillCall) => Promise<void>;
  readonly onProgress?: (done: number) => void;
}

describe('prefill', function () {
  this.timeout(120_000);
  let folder: string;
  let slm: RunningEngine;
  let tokenizer: Tokenizer;
  let responses: readonly ResponseRow[];
  let reference: {
    readonly rows: readonly PrefillRow[];
    readonly files: Readonly<Record<string, string>>;
    readonly manifest: StepManifest;
    readonly calls: number;
  };
  let runs = 0;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'r2r-prefill-'));
    tokenizer = await loadTokenizer(tinyModels.slm);
    slm = await serve('slm');
    responses = await answer();
    reference = await run();
  });
  after(async () => {
    await slm.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const serve = (model: 'slm' | 'llm') =>
    startEngine({ modelPath: tinyModels[model], port: 0, returnHiddenStates: true }, (error) => {
      throw error;
    });

  /** Answers of the LLM to some problems, and one that is long. */
  async function answer(): Promise<ResponseRow[]> {
    const engine = await serve('llm');
    const llm = new SglangClient({ url: engine.url, vocabSize });
    try {
      const questions = readFileSync(tinyModels.problems, 'utf8').split('\n').slice(0, questionCount);
      const rows: ResponseRow[] = [];
      for (const [dataId, line] of questions.entries()) {
        const { id, question } = JSON.parse(line) as { id: string; question: string };
        const input = tokenizer.applyChatTemplate([{ role: 'user', content: question }]);
        const ids = tokenizer.encode(input);
        const { tokens } = await llm.generate({ ids, maxNewTokens: 300, timeoutMs: 60_000 });
        rows.push(
          responseRow(
            dataId,
            id,
            ids,
            tokens.map((token) => token.id),
          ),
        );
      }
      const output = rows.flatMap(({ output_ids: ids }) => Array.from(ids));
      return [...rows, responseRow(longQuestion, 'long', Array.from(rows[0]!.input_ids), output)];
    } finally {
      await llm.destroy();
      await engine.close();
    }
  }

  const responseRow = (dataId: number, id: string, input: readonly number[], output: readonly number[]): ResponseRow => ({
    ...{ data_id: dataId, id, input_text: '', input_ids: input, output_ids: output, model_reasoning: '', model_response: '' },
    ...{ is_finished: true, finish: 'stop', output_tokens: output.length },
  });
  const idsOf = ({ input_ids: input, output_ids: output }: ResponseRow) => [...Array.from(input), ...Array.from(output)];

  /** The responses as the step before leaves them, eight to a part; unfinished ones are not read. */
  const written = (workspace: string, finished: readonly ResponseRow[]): Promise<StepInput> =>
    writeStep(
      workspace,
      'respond',
      [0, 8].map((firstQuestion) => ({
        firstQuestion,
        questions: 8,
        tables: [
          {
            name: 'finished',
            schema: responsesTable,
            rows: finished.filter(({ data_id: id }) => id >= firstQuestion && id < firstQuestion + 8),
          },
          { name: 'unfinished', schema: responsesTable, rows: [] },
        ],
      })),
    );

  /** Runs the step in a workspace of its own (or `into` one), all shards one after the other. */
  async function run(options: Run = {}, finished = responses, into = join(folder, `run-${runs++}`)) {
    const { shards = 1, modelFolder = tinyModels.slm } = options;
    const input = await written(into, finished);
    const spec = makeSpec(prefillStep, { ...names, ...options.params }, { respond: input });
    const client = new SglangClient({ url: slm.url, vocabSize });
    const prefill = client.prefill.bind(client);
    let calls = 0;
    client.prefill = async (call, signal) => {
      calls++;
      await options.beforeCall?.(call);
      return prefill(call, signal);
    };
    let manifest: StepManifest | undefined;
    try {
      for (let shard = 0; shard < shards; shard++) {
        const context = toyContext({ folder: into, count: 0, shard, shards, ...(options.signal && { signal: options.signal }) });
        const { progress } = context;
        const advance = progress.advance.bind(progress);
        progress.advance = (units, more) => {
          advance(units, more);
          options.onProgress?.(units);
        };
        const outcome = await runStep(prefillStep, spec, {
          ...context,
          tuning: { ...context.tuning, concurrency: 4, retryDelayMs: 10, ...options.tuning },
          engines: { slm: { role: 'slm', url: slm.url, client, tokenizer, modelFolder } },
        });
        if (outcome.sealed) manifest = outcome.manifest;
        const { done, total } = progress.report();
        if (outcome.sealed && !outcome.found) assert.equal(done, total);
      }
    } finally {
      await client.destroy();
    }
    assert.ok(manifest, 'the last shard seals the step');
    const step = join(into, `prefill-${manifest.hash}`);
    const data = readdirSync(join(step, 'data')).sort();
    const rows: PrefillRow[] = [];
    for await (const row of new FinishedStep(new Workspace(into), step, manifest).rows('rows', prefillTable(shape))) rows.push(row);
    return {
      rows,
      files: Object.fromEntries(data.map((name) => [name, readFileSync(join(step, 'data', name)).toString('base64')])),
      manifest,
      calls,
    };
  }

  it('has a row for each position from the think tag to the last but one, in order, with its tokens', () => {
    const expected = responses.flatMap((response) => {
      const ids = idsOf(response);
      const [opens, closes] = ['<think>', '</think>'].map((tag) => ids.indexOf(tokenizer.tokenToId.get(tag)!)) as [number, number];
      return ids.slice(opens, -1).map((id, index) => ({
        data_id: response.data_id,
        token_id: opens + index,
        real_token: id,
        next_token: ids[opens + index + 1],
        token_type: opens + index < closes ? 1 : 2,
      }));
    });
    assert.deepEqual(
      reference.rows.map(({ data_id, token_id, real_token, next_token, token_type }) => ({
        ...{ data_id, token_id, real_token, next_token, token_type },
      })),
      expected,
    );
  });

  it('counts rows, tokens and mismatches of each response', () => {
    const thinkEnd = tokenizer.tokenToId.get('</think>');
    for (const { firstQuestion, questions, counts } of reference.manifest.parts) {
      const rows = reference.rows.filter(({ data_id: id }) => id === firstQuestion);
      const mismatches = rows.filter(({ slm_token: said, next_token: next }) => said !== next && next !== thinkEnd).length;
      const tokens = idsOf(responses.find(({ data_id: id }) => id === firstQuestion)!).length - 1;
      assert.equal(questions, 1);
      assert.deepEqual(counts, { rows: rows.length, mismatches, tokens, skippedTooLong: 0 });
    }
    const { mismatches = 0, rows = 0 } = reference.manifest.counts;
    assert.ok(mismatches > 0.05 * rows && mismatches < 0.3 * rows, `${mismatches} of ${rows}`);
  });

  it('has the raw logits that follow from the hidden state and the LM head', async () => {
    const lmHead = await (await openWeights(tinyModels.slm)).read('model.embed_tokens.weight');
    let [different, most] = [0, 0];
    for (const row of reference.rows) {
      const hidden = unpackVector(row.hidden, 'bfloat16');
      const all = roundToBfloat16(
        Float32Array.from({ length: vocabSize }, (_, token) =>
          hidden.reduce((sum, value, at) => sum + value * lmHead[token * 64 + at]!, 0),
        ),
      );
      const [logits, ids] = [unpackVector(row.top_logits, 'float32'), unpackIntegers(row.top_ids)];
      assert.equal(row.slm_token, ids[0]);
      assert.equal(logits.length, 100);
      assert.equal(new Set(ids).size, 100);
      for (const [rank, id] of ids.entries()) {
        const step = 2 ** (Math.floor(Math.log2(Math.max(Math.abs(all[id]!), 2 ** -8))) - 7);
        const error = Math.abs(logits[rank]! - all[id]!);
        assert.ok(error <= step * 1.01, `${error} of ${all[id]}`);
        if (error > 0) different++;
        most = Math.max(most, error);
        assert.ok(rank === 0 || logits[rank]! <= logits[rank - 1]!);
      }
      // none that is not there is larger
      const last = logits.at(-1)!;
      assert.ok(all.every((value, id) => value <= last + 0.25 || ids.includes(id)));
    }
    const total = 100 * reference.rows.length;
    console.log(`      ${different} of ${total} logits differ from hidden @ lm_head, by ${most} at most`);
    assert.ok(different < 0.01 * total, `${different} of ${total}`);
  });

  it('predicts what the SLM says when it goes on from there', async () => {
    const client = new SglangClient({ url: slm.url, vocabSize });
    let others = 0;
    const asked = reference.rows.filter(({ data_id: id }) => id < 4);
    for (const row of asked) {
      const ids = idsOf(responses[row.data_id]!).slice(0, row.token_id + 1);
      const { tokens } = await client.generate({ ids, maxNewTokens: 1, timeoutMs: 60_000 });
      if (tokens[0]!.id === row.slm_token) continue;
      others++;
      const [logits, best] = [unpackVector(row.top_logits, 'float32'), unpackIntegers(row.top_ids)];
      const gap = logits[0]! - (logits[best.indexOf(tokens[0]!.id)] ?? -Infinity);
      assert.ok(gap <= tie, `row ${row.data_id}/${row.token_id}: ${gap}`);
    }
    await client.destroy();
    console.log(`      ${others} of ${asked.length} predictions are a tie that fell otherwise`);
    assert.ok(others <= 0.02 * asked.length, `${others} of ${asked.length}`);
  });

  it('is the same to the byte with whatever the engine has cached, however many calls at a time, in any number of shards', async () => {
    const client = new SglangClient({ url: slm.url, vocabSize });
    for (const response of responses.slice(-3))
      for (let length = 20; length < idsOf(response).length; length += 33)
        await client.generate({ ids: idsOf(response).slice(0, length), maxNewTokens: 5, timeoutMs: 60_000 });
    await client.destroy();
    const warm = await run({ tuning: { concurrency: 1 } });
    assert.deepEqual(warm.files, reference.files);
    assert.deepEqual(warm.manifest, reference.manifest);
    const sharded = await run({ shards: 3, tuning: { concurrency: 16 } });
    assert.deepEqual(sharded.files, reference.files);
    assert.deepEqual(sharded.manifest, reference.manifest);
  });

  it('is the same to the byte on an engine that loses what it has cached on the way', async () => {
    let lost = 0;
    const beforeCall = async ({ from }: PrefillCall) => {
      if (from < 512 || lost > 1) return;
      lost++;
      assert.equal((await fetch(`${slm.url}/flush_cache`, { method: 'POST' })).status, 200);
    };
    const forgotten = await run({ beforeCall, tuning: { concurrency: 1 } });
    assert.deepEqual(forgotten.files, reference.files);
    assert.equal(lost, 2);
    // twice the segment that found nothing, and those before it once more
    assert.equal(forgotten.calls, reference.calls + 6);
  });

  it('is the same to the byte after an interruption', async () => {
    for (const units of [1, 400, 900]) {
      const into = join(folder, `interrupted-${units}`);
      const stop = new AbortController();
      let done = 0;
      const onProgress = (more: number) => {
        if ((done += more) >= units) stop.abort();
      };
      const interrupted = run({ signal: stop.signal, onProgress }, responses, into);
      await assert.rejects(interrupted, (error) => error instanceof PipelineError && error.code === 'PIPELINE_STOPPED');
      const again = await run({}, responses, into);
      assert.deepEqual(again.files, reference.files);
      assert.deepEqual(again.manifest, reference.manifest);
    }
  });

  for (const segmentTokens of [7, 64])
    it(`has the same keys, and the same rows within bfloat16, in segments of ${segmentTokens}`, async () => {
      const { rows } = await run({ params: { segmentTokens } });
      assert.equal(rows.length, reference.rows.length);
      let [largest, ties, bytes] = [0, 0, 0];
      for (const [index, row] of rows.entries()) {
        const other = reference.rows[index]!;
        assert.deepEqual(
          [row.data_id, row.token_id, row.real_token, row.next_token, row.token_type],
          [other.data_id, other.token_id, other.real_token, other.next_token, other.token_type],
        );
        const [hidden, right] = [row, other].map((each) => unpackVector(each.hidden, 'bfloat16')) as [Float32Array, Float32Array];
        for (const [at, value] of hidden.entries()) largest = Math.max(largest, Math.abs(value - right[at]!));
        if (Buffer.compare(row.hidden, other.hidden) !== 0) bytes++;
        if (row.slm_token === other.slm_token) continue;
        ties++;
        const [logits, ids] = [unpackVector(other.top_logits, 'float32'), unpackIntegers(other.top_ids)];
        assert.ok(logits[0]! - logits[ids.indexOf(row.slm_token)]! <= tie);
      }
      console.log(
        `      hidden states of ${bytes} of ${rows.length} rows differ, by ${largest} at most; ${ties} predictions fell otherwise`,
      );
      assert.ok(largest <= 0.25, String(largest));
      assert.ok(ties <= 0.02 * rows.length, String(ties));
    });

  it('leaves out and counts what is longer than the limit', async () => {
    const { rows, manifest } = await run({ params: { maxInputLength: 300 } });
    assert.deepEqual(
      rows,
      reference.rows.filter(({ data_id: id }) => id !== longQuestion),
    );
    assert.equal(manifest.counts['skippedTooLong'], 1);
    assert.equal(manifest.parts.length, reference.manifest.parts.length);
  });

  it('has the rows of the prompt, too, where they are asked for', async () => {
    const { rows } = await run({ params: { promptRows: true } }, responses.slice(0, 2));
    assert.deepEqual(
      rows.map(({ data_id, token_id }) => [data_id, token_id]),
      responses.slice(0, 2).flatMap((response) =>
        idsOf(response)
          .slice(0, -1)
          .map((_, at) => [response.data_id, at]),
      ),
    );
    assert.deepEqual(
      rows.filter(({ token_type: type }) => type > 0),
      reference.rows.filter(({ data_id: id }) => id < 2),
    );
  });

  it('refuses a server of another model', async () => {
    const other = join(folder, 'other-slm');
    cpSync(tinyModels.slm, other, { recursive: true });
    const weights = join(other, 'model.safetensors');
    const { offset, byteLength } = (await openWeights(other)).tensors.get('model.embed_tokens.weight')!;
    const bytes = readFileSync(weights);
    // each token gets the row of another one
    bytes.subarray(offset, offset + byteLength).set(
      Buffer.from(bytes.subarray(offset, offset + byteLength))
        .swap16()
        .reverse(),
    );
    writeFileSync(weights, bytes);
    await (await openRowTable(other, 'lm_head')).close();
    await assert.rejects(
      run({ modelFolder: other }),
      (error) => error instanceof PipelineError && error.code === 'PIPELINE_MODEL' && error.step === 'prefill' && !error.retryable,
    );
  });

  it('refuses a server that takes shorter sequences than it is to read, before anything is written', async () => {
    const long = responseRow(
      0,
      'too/long',
      idsOf(responses[0]!),
      Array.from({ length: 2100 }, () => 9),
    );
    await assert.rejects(
      run({}, [long]),
      (error) =>
        error instanceof PipelineError &&
        error.code === 'PIPELINE_PARAMS' &&
        error.field === 'params.maxInputLength' &&
        /too\/long has \d+ tokens .* takes 20\d\d/.test(error.message),
    );
  });
});
