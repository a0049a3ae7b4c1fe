import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { runAll } from '../../src/pipeline/all-steps.ts';
import type { StepEngine } from '../../src/pipeline/step.ts';
import type { StepName } from '../../src/pipeline/step-identity.ts';
import {
  continuationsTable,
  labelsTable,
  questionsTable,
  responsesTable,
  verdictsTable,
  type ContinuationRow,
} from '../../src/pipeline/tables.ts';
import { fittingPrompt } from '../../src/pipeline/verify/fitting-prompt.ts';
import { makeMessages } from '../../src/pipeline/verify/prompt.ts';
import type { StepManifest } from '../../src/pipeline/workspace/manifest.ts';
import { launchSGLang, type SGLangServer } from '../../tools/sglang/server.ts';
import { models, rowsOf, startTinyEngines, stepEngine, tinyContext, tinyParams, type Engines } from '../pipeline/continue/tiny-run.ts';
import { temporaryFolder } from '../pipeline/files.ts';
import { liveServers } from './servers.ts';

const questions = 6;
/**
 * What bfloat16 explains: two tokens whose log-probabilities are so near are a tie, as in engine-differential.test.ts; logits lie between 16 and
 * 32, where neighbours are 0.125 apart, and states below 16.
 */
const margin = { tie: 0.125, logit: 0.25, hidden: 0.125 };
const params = { ...tinyParams('train', questions), construct: { validationShare: 0.2, testShare: 0.2 } };

type Manifests = Readonly<Record<StepName, StepManifest>>;

/** All that the steps have left of one kind of server. */
async function readAll(folder: string, made: Manifests) {
  const byQuestion = <R extends { readonly data_id: number }>(rows: readonly R[]) => Map.groupBy(rows, ({ data_id: id }) => id);
  const labels = await rowsOf(folder, made.construct, 'labels', labelsTable);
  return {
    questions: await rowsOf(folder, made.convert, 'questions', questionsTable),
    responses: await rowsOf(folder, made.respond, 'finished', responsesTable),
    continuations: byQuestion(await rowsOf(folder, made.continue, 'continuations', continuationsTable)),
    verdicts: byQuestion(await rowsOf(folder, made.verify, 'verdicts', verdictsTable)),
    labels: byQuestion(labels),
  };
}
type Everything = Awaited<ReturnType<typeof readAll>>;

/** The first place where two lists of tokens part. */
function parting(a: ArrayLike<number>, b: ArrayLike<number>): number | undefined {
  const [first, second] = [Array.from(a), Array.from(b)];
  const at = first.findIndex((token, index) => token !== second[index]);
  return at < 0 && first.length === second.length ? undefined : at < 0 ? first.length : at;
}

describe('the labelling pipeline on a real SGLang', function () {
  this.timeout(10 * 60_000);
  let folder: string;
  let verifier: SGLangServer | undefined;
  let cpu: Engines;
  let close: (() => Promise<void>) | undefined;
  let expected: Everything;
  let found: Everything;
  const ties = { responses: 0, predictions: 0, continuations: 0, verdicts: 0 };
  const largest = { tie: 0, logit: 0, hidden: 0 };

  before(async function () {
    this.timeout(30 * 60_000);
    folder = temporaryFolder();
    const [{ slm, llm }, third] = await Promise.all([
      liveServers(),
      launchSGLang({ modelPath: join(models, 'verifier'), servedModelName: 'tiny-verifier', timeoutMs: 10 * 60_000 }),
    ]);
    verifier = third;
    ({ engines: cpu, close } = await startTinyEngines());
    const sglang: Engines = {
      slm: await stepEngine('slm', slm.url),
      llm: await stepEngine('llm', llm.url),
      verifier: await stepEngine('verifier', third.url),
    };
    const label = async (name: string, engines: Engines): Promise<Everything> => {
      const workspace = join(folder, name);
      return readAll(workspace, await runAll(params, () => tinyContext(workspace, engines)));
    };
    expected = await label('cpu', cpu);
    const started = Date.now();
    found = await label('sglang', sglang);
    console.log(`      ${questions} questions on SGLang in ${((Date.now() - started) / 1000).toFixed(1)} s`);
    await Promise.all(Object.values(sglang).map(({ client }) => client.destroy()));
  });
  after(async () => {
    await verifier?.stop();
    await close?.();
    rmSync(folder, { recursive: true, force: true });
  });

  /** That two tokens are as good as equal behind these, as the CPU engine computes it. */
  async function assertTie(
    engine: StepEngine,
    ids: readonly number[],
    tokens: readonly (number | undefined)[],
    what: string,
  ): Promise<void> {
    const { tokens: answer } = await engine.client.generate({ ids, maxNewTokens: 1, topLogprobs: 100, timeoutMs: 60_000 });
    const top = answer[0]?.top ?? assert.fail(what);
    const gaps = tokens.map((token) => {
      const rank = top.ids.indexOf(token ?? -1);
      return rank < 0 ? Infinity : (top.logprobs[0] ?? NaN) - (top.logprobs[rank] ?? NaN);
    });
    const gap = Math.max(...gaps);
    largest.tie = Math.max(largest.tie, gap);
    assert.ok(gap <= margin.tie, `${what}: ${tokens.join(' and ')} are ${gap} apart, and bfloat16 explains ${margin.tie}`);
  }

  /** Prompt and answer of a question whose answer is the same on both. */
  const shared = new Map<number, readonly number[]>();

  it('answers the same, but where two tokens tie', async () => {
    assert.deepEqual(found.questions, expected.questions);
    for (const [index, response] of expected.responses.entries()) {
      const other = found.responses[index] ?? assert.fail('an answer is missing');
      assert.deepEqual([other.data_id, Array.from(other.input_ids)], [response.data_id, Array.from(response.input_ids)]);
      const at = parting(response.output_ids, other.output_ids);
      const prompt = Array.from(response.input_ids);
      if (at === undefined) {
        shared.set(response.data_id, [...prompt, ...Array.from(response.output_ids)]);
        continue;
      }
      ties.responses++;
      const ids = [...prompt, ...Array.from(response.output_ids).slice(0, at)];
      await assertTie(cpu.llm, ids, [response.output_ids[at], other.output_ids[at]], `answer ${response.data_id}, token ${at}`);
    }
    assert.ok(shared.size >= questions / 2, `${shared.size} answers are the same`);
  });

  it('predicts the same of these answers, with logits and states within the margin', () => {
    for (const id of shared.keys()) {
      const [rows, others] = [expected.labels.get(id) ?? [], found.labels.get(id) ?? []];
      assert.deepEqual(
        others.map((row) => [row.token_id, row.real_token]),
        rows.map((row) => [row.token_id, row.real_token]),
      );
      for (const [index, row] of rows.entries()) {
        const other = others[index] ?? assert.fail();
        const logits = new Map(Array.from(row.small_indices).map((token, rank) => [token, row.small_logits[rank] ?? NaN]));
        if (other.small_token !== row.small_token) {
          ties.predictions++;
          const gap = (logits.get(row.small_token) ?? NaN) - (logits.get(other.small_token) ?? -Infinity);
          largest.tie = Math.max(largest.tie, gap);
          assert.ok(gap <= margin.tie, `question ${id}, token ${row.token_id}: predictions are ${gap} apart`);
        }
        for (const [rank, logit] of Array.from(other.small_logits).entries())
          largest.logit = Math.max(largest.logit, Math.abs(logit - (row.small_logits[rank] ?? NaN)));
        for (const [place, value] of Array.from(other.small_last_hidden_states).entries())
          largest.hidden = Math.max(largest.hidden, Math.abs(value - (row.small_last_hidden_states[place] ?? NaN)));
      }
    }
    assert.ok(largest.logit <= margin.logit, `logits differ by ${largest.logit}`);
    assert.ok(largest.hidden <= margin.hidden, `states differ by ${largest.hidden}`);
  });

  it('goes on and judges the same where it was asked the same, but where two tokens tie', async () => {
    let judged = 0;
    for (const [id, ids] of shared)
      for (const row of expected.continuations.get(id) ?? []) {
        const same = (each: { readonly token_id: number }) => each.token_id === row.token_id;
        const other = found.continuations.get(id)?.find(same);
        // a prediction that ties is counted there
        if (other?.pred_small_token !== row.pred_small_token) continue;
        const place = `question ${id}, token ${row.token_id}`;
        const at = parting(row.small_output_ids, other.small_output_ids);
        if (at !== undefined) {
          ties.continuations++;
          const [own, its] = [Array.from(row.small_output_ids), Array.from(other.small_output_ids)];
          await assertTie(cpu.llm, [...ids.slice(0, row.token_id), row.pred_small_token, ...own.slice(0, at)], [own[at], its[at]], place);
          continue;
        }
        assert.equal(other.small_diverge_text, row.small_diverge_text, place);
        const [verdict, its] = [expected.verdicts.get(id)?.find(same), found.verdicts.get(id)?.find(same)];
        judged++;
        if (verdict?.divergent === its?.divergent) continue;
        ties.verdicts++;
        const { tokenizer } = cpu.verifier;
        const answers = ['0', '1'].map((text) => tokenizer.tokenToId.get(text));
        await assertTie(cpu.verifier, verifierPrompt(row), answers, `verdict on ${place}`);
      }
    assert.ok(judged > 10, `${judged} were compared`);
  });

  it('leaves the same labels besides, and says how many ties there were', () => {
    for (const id of shared.keys()) {
      const label = (row: { readonly token_id: number; readonly divergent: number; readonly mismatch: number; readonly mask: number }) =>
        `${row.token_id}: ${row.divergent} ${row.mismatch} ${row.mask}`;
      const [rows, others] = [expected.labels.get(id) ?? [], found.labels.get(id) ?? []];
      const differing = rows.filter((row, index) => label(row) !== label(others[index] ?? assert.fail())).length;
      const explained = ties.predictions + ties.continuations + ties.verdicts;
      assert.ok(differing <= explained, `question ${id}: ${differing} labels differ, and there were ${explained} ties`);
    }
    const all = [...expected.labels.values()].reduce((sum, { length }) => sum + length, 0);
    console.log(`      ties of ${all} tokens: ${JSON.stringify(ties)}; largest differences ${JSON.stringify(largest)}`);
  });

  function verifierPrompt(row: ContinuationRow): readonly number[] {
    const question = expected.questions.find(({ data_id: id }) => id === row.data_id)?.question ?? '';
    const options = {
      tokenizer: cpu.verifier.tokenizer,
      contextLength: 2048,
      maxNewTokens: 1,
      enableThinking: false,
      templateVariables: {},
    };
    const prompt = fittingPrompt({ ...row, question, areMarked: true }, (shown) => makeMessages('plain', shown, []), options);
    return prompt?.ids ?? assert.fail('it was asked');
  }
});
