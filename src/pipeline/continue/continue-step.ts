import type { Tokenizer } from '../../model/tokenizer.ts';
import { contextLengthOf } from '../context-length.ts';
import { oncePerRun } from '../once-per-run.ts';
import { continueParamsSchema, type ContinueParams } from '../params.ts';
import { callByPrefix } from '../prefix-order.ts';
import type { JsonValue } from '../step-identity.ts';
import type { Counts, PartJournal, PartOutput, PartPlan, StepDefinition, StepReader, StepWork } from '../step.ts';
import { continuationsTable, responsesTable, type ContinuationRow } from '../tables.ts';
import { writerOf } from '../writer.ts';
import { branchSchema, generatedBranch, realBranch, type Branch, type BranchRule } from './branches.ts';
import { ResponseText } from './continuations.ts';
import { mismatchOf, type Mismatch } from './mismatches.ts';
import { predictionsOf } from './predictions.ts';
import { partingsOf, readSlmTexts } from './slm-texts.ts';
import { stopTokens } from './stop-tokens.ts';

/** A response and where the SLM would have said something else, ascending. */
interface Question {
  readonly dataId: number;
  /** Prompt and response. */
  readonly ids: readonly number[];
  readonly mismatches: readonly Mismatch[];
}

/** What a part needs besides its questions. */
interface Tools {
  readonly tokenizer: Tokenizer;
  readonly rule: BranchRule;
  readonly contextLength: number;
}

const toolsOf = oncePerRun(async (work: StepWork<ContinueParams>): Promise<Tools> => {
  const { params, calls } = work;
  const { tokenizer } = calls.engine('llm');
  const rule = { stops: stopTokens(tokenizer, params), endIds: new Set(tokenizer.endIds), sentenceEnds: params.numContinuation + 1 };
  return { tokenizer, rule, contextLength: await contextLengthOf('llm', work) };
});

/**
 * How the LLM goes on from each token that the SLM would have said, beside how it really went on. Where the SLM wrote the text, the LLM reads it
 * and goes on from either token where it would have said another one.
 */
export const continueStep: StepDefinition<ContinueParams> = {
  name: 'continue',
  format: 1,
  params: continueParamsSchema,
  inputs: ['respond', 'prefill'],
  engines: ['llm'],
  unit: 'mismatches',
  openParts: () => 3,
  plan: ({ inputs }) =>
    Promise.resolve(
      inputs
        .of('respond')
        .parts()
        .map(({ name, firstQuestion, questions }) => ({ name, firstQuestion, questions, tables: ['continuations'] })),
    ),
  total: ({ inputs }, parts) => {
    const respond = inputs.of('respond');
    // what the LLM would say to the SLM's texts is not known before: the texts are counted
    const size = (part: PartPlan): number =>
      writerOf(respond) === 'slm' ? textsWithin(part, respond) : mismatchesWithin(part, inputs.of('prefill'));
    return Promise.resolve(parts.reduce((sum, part) => sum + size(part), 0));
  },
  async make(part, work, output, journal) {
    if (writerOf(work.inputs.of('respond')) === 'slm') return makeOfSlmTexts(part, work, output, journal);
    const { params, context, calls } = work;
    const tools = await toolsOf(work);
    const { questions, tooLong } = await readQuestions(part, work);
    const found = questions.reduce((sum, { mismatches }) => sum + mismatches.length, 0);
    const open = questions.map(({ dataId, mismatches }) =>
      mismatches.filter(({ position }) => journal.get(keyOf(dataId, position)) === undefined),
    );
    const left = open.reduce((sum, mismatches) => sum + mismatches.length, 0);
    context.progress.resume(found - left);
    await callByPrefix(
      open.map((mismatches) => mismatches.length),
      context.tuning.concurrency,
      async (group, index) => {
        const [question, mismatch] = [questions[group], open[group]?.[index]];
        if (!question || !mismatch) return;
        const prefix = [...question.ids.slice(0, mismatch.position), mismatch.slmToken];
        const limit = Math.max(0, Math.min(params.maxNewTokens, tools.contextLength - prefix.length));
        const branch = await generatedBranch(prefix, limit, tools.rule, async (ids, maxNewTokens) => {
          const { tokens, finish } = await calls.generate('llm', { ids, maxNewTokens, stopTokenIds: [...tools.rule.stops] });
          return { ids: tokens.map(({ id }) => id), stopped: finish === 'stop' };
        });
        await journal.record(keyOf(question.dataId, mismatch.position), branch as unknown as JsonValue);
        context.progress.advance(1, { tokens: branch.ids.length });
      },
    );

    return write(
      questions.map((question) => rowsOf(question, tools, params, journal)),
      tooLong,
      output,
    );
  },
};

async function makeOfSlmTexts(part: PartPlan, work: StepWork<ContinueParams>, output: PartOutput, journal: PartJournal): Promise<Counts> {
  const tools = await toolsOf(work);
  const { texts, tooLong } = await readSlmTexts(part, work);
  const partings = await partingsOf(texts, work, tools, journal);
  const rows = texts.map(({ dataId, ids }) => {
    const both = (partings.get(dataId) ?? []).map(({ position, token: realToken, real, small }) => ({
      mismatch: { position, realToken, slmToken: ids[position] ?? -1 },
      real,
      small,
    }));
    return branchRows(dataId, ids, both, tools, work.params);
  });
  return write(rows, tooLong, output);
}

async function write(questions: readonly Iterable<ContinuationRow>[], tooLong: number, output: PartOutput): Promise<Counts> {
  const table = await output.table('continuations', continuationsTable);
  const counts = { mismatches: 0, tokens: 0, emptyContext: 0, tooLong };
  for (const rows of questions)
    for (const row of rows) {
      await table.append(row);
      counts.mismatches++;
      counts.tokens += row.small_output_ids.length;
      if (row.common_context === '') counts.emptyContext++;
    }
  return counts;
}

async function readQuestions(
  { firstQuestion, questions: span }: PartPlan,
  { params, inputs, calls }: StepWork<ContinueParams>,
): Promise<{ readonly questions: readonly Question[]; readonly tooLong: number }> {
  const range = { from: firstQuestion, to: firstQuestion + span };
  const thinkEnd = calls.engine('llm').tokenizer.tokenToId.get(params.thinkEnd);
  const mismatches = new Map<number, Mismatch[]>();
  for await (const row of predictionsOf(inputs.of('prefill'), range)) {
    const mismatch = mismatchOf(row, thinkEnd);
    if (!mismatch) continue;
    const known = mismatches.get(row.data_id);
    if (known) known.push(mismatch);
    else mismatches.set(row.data_id, [mismatch]);
  }
  const questions: Question[] = [];
  let tooLong = 0;
  const columns = ['data_id', 'input_ids', 'output_ids'] as const;
  for await (const row of inputs.of('respond').rows('finished', responsesTable, { ...range, columns })) {
    const ids = [...Array.from(row.input_ids), ...Array.from(row.output_ids)];
    const found = mismatches.get(row.data_id);
    if (ids.length > params.maxTokens) tooLong++;
    else if (found) questions.push({ dataId: row.data_id, ids, mismatches: found });
  }
  return { questions, tooLong };
}

function rowsOf(
  { dataId, ids, mismatches }: Question,
  tools: Tools,
  params: ContinueParams,
  journal: PartJournal,
): Iterable<ContinuationRow> {
  const both = mismatches.map((mismatch) => ({
    mismatch,
    real: realBranch(ids, mismatch.position, params.maxNewTokens, tools.rule),
    small: branchSchema.parse(journal.get(keyOf(dataId, mismatch.position))),
  }));
  return branchRows(dataId, ids, both, tools, params);
}

/** `ids`: the text that both begin with, up to each mismatch. */
function* branchRows(
  dataId: number,
  ids: readonly number[],
  both: Iterable<{ readonly mismatch: Mismatch; readonly real: Branch; readonly small: Branch }>,
  { tokenizer, rule }: Tools,
  params: ContinueParams,
): Generator<ContinuationRow> {
  const text = new ResponseText(ids, tokenizer);
  for (const { mismatch, real, small } of both) {
    const { position, realToken, slmToken } = mismatch;
    const texts = text.texts(
      position,
      { token: slmToken, ids: small.ids, isStop: rule.stops.has(slmToken) },
      { token: realToken, ids: real.ids, isStop: rule.stops.has(realToken) },
      rule.stops.has(ids[position - 1] ?? -1),
      params,
    );
    yield {
      data_id: dataId,
      token_id: position,
      real_token: realToken,
      pred_small_token: slmToken,
      ...texts,
      small_output_ids: small.ids,
      small_finish: small.finish,
    };
  }
}

function textsWithin({ name }: PartPlan, respond: StepReader): number {
  return respond.manifest.parts.find(({ part }) => part === name)?.counts['finished'] ?? 0;
}

function mismatchesWithin({ firstQuestion, questions }: PartPlan, prefill: StepReader): number {
  const within = prefill.manifest.parts.filter(
    (part) => part.firstQuestion >= firstQuestion && part.firstQuestion < firstQuestion + questions,
  );
  return within.reduce((sum, { counts }) => sum + (counts['mismatches'] ?? 0), 0);
}

function keyOf(dataId: number, position: number): string {
  return `${dataId}/${position}`;
}
