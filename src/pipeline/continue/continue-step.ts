import { z } from 'zod';
import type { Tokenizer } from '../../model/tokenizer.ts';
import { contextLengthOf } from '../context-length.ts';
import { oncePerRun } from '../once-per-run.ts';
import { continueParamsSchema, type ContinueParams } from '../params.ts';
import { callByPrefix } from '../prefix-order.ts';
import type { JsonValue } from '../step-identity.ts';
import type { Counts, PartJournal, PartPlan, StepDefinition, StepReader, StepWork } from '../step.ts';
import { continuationsTable, responsesTable, type ContinuationRow } from '../tables.ts';
import { generatedBranch, realBranch, type Branch, type BranchRule } from './branches.ts';
import { ResponseText } from './continuations.ts';
import { mismatchOf, type Mismatch } from './mismatches.ts';
import { predictionsOf } from './predictions.ts';
import { stopTokens } from './stop-tokens.ts';

const branchSchema = z.object({ ids: z.array(z.int()), finish: z.enum(['sentences', 'stop', 'length']) });

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

/** How the LLM goes on from each token that the SLM would have said, beside how it really went on. */
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
  total: ({ inputs }, parts) => Promise.resolve(parts.reduce((sum, part) => sum + mismatchesWithin(part, inputs.of('prefill')), 0)),
  async make(part, work, output, journal) {
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

    const table = await output.table('continuations', continuationsTable);
    const counts = { mismatches: 0, tokens: 0, emptyContext: 0, tooLong };
    for (const question of questions)
      for (const row of rowsOf(question, tools, params, journal)) {
        await table.append(row);
        counts.mismatches++;
        counts.tokens += row.small_output_ids.length;
        if (row.common_context === '') counts.emptyContext++;
      }
    return counts satisfies Counts;
  },
};

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

function* rowsOf(
  { dataId, ids, mismatches }: Question,
  { tokenizer, rule }: Tools,
  params: ContinueParams,
  journal: PartJournal,
): Generator<ContinuationRow> {
  const text = new ResponseText(ids, tokenizer);
  for (const { position, realToken, slmToken } of mismatches) {
    const small: Branch = branchSchema.parse(journal.get(keyOf(dataId, position)));
    const real = realBranch(ids, position, params.maxNewTokens, rule);
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

function mismatchesWithin({ firstQuestion, questions }: PartPlan, prefill: StepReader): number {
  const within = prefill.manifest.parts.filter(
    (part) => part.firstQuestion >= firstQuestion && part.firstQuestion < firstQuestion + questions,
  );
  return within.reduce((sum, { counts }) => sum + (counts['mismatches'] ?? 0), 0);
}

function keyOf(dataId: number, position: number): string {
  return `${dataId}/${position}`;
}
