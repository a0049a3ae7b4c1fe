import { z } from 'zod';
import { contextLengthOf } from '../context-length.ts';
import { verifyParamsSchema, type VerifyParams } from '../params.ts';
import { callByPrefix } from '../prefix-order.ts';
import type { PartPlan, StepDefinition, StepInputs, StepReader, StepWork } from '../step.ts';
import { continuationsTable, questionsTable, verdictsTable, type ContinuationRow } from '../tables.ts';
import { fittingPrompt } from './fitting-prompt.ts';
import { makeMessages, type Comparison } from './prompt.ts';
import { checkUnknownShare } from './unknown-share.ts';
import { parseVerdict } from './verdict.ts';

/** -1: no answer was 0 or 1. */
const judgementSchema = z.object({
  divergent: z.union([z.literal(0), z.literal(1), z.literal(-1)]),
  response: z.string(),
  attempts: z.int(),
  shortened: z.boolean(),
});
type Judgement = z.infer<typeof judgementSchema>;

const comparedColumns = [
  'data_id',
  'token_id',
  'common_context',
  'small_diverge_text',
  'reference_diverge_text',
  'pred_small_text',
  'real_text',
] as const;

type Compared = Pick<ContinuationRow, 'data_id' | 'token_id'> & Comparison;

/** Whether the two ways on from a token differ in meaning, as the verifier judges it. */
export const verifyStep: StepDefinition<VerifyParams> = {
  name: 'verify',
  format: 1,
  params: verifyParamsSchema,
  inputs: ['convert', 'continue'],
  engines: ['verifier'],
  unit: 'mismatches',
  openParts: () => 3,
  plan: ({ inputs }) =>
    Promise.resolve(
      inputs
        .of('continue')
        .parts()
        .map(({ name, firstQuestion, questions }) => ({ name, firstQuestion, questions, tables: ['verdicts'] })),
    ),
  total({ inputs }, parts) {
    const names = new Set(parts.map(({ name }) => name));
    const chosen = inputs.of('continue').manifest.parts.filter(({ part }) => names.has(part));
    return Promise.resolve(chosen.reduce((sum, { counts }) => sum + (counts['mismatches'] ?? 0), 0));
  },
  async make(part, work, output, journal) {
    const { context } = work;
    const groups = await readComparisons(part, work);
    const contextLength = await contextLengthOf('verifier', work);
    // Only verdicts go into the journal: what has none is asked again by the next run, for the verifier may have been put right.
    const unknown = new Map<string, Judgement>();
    const open = groups.map((rows) => rows.filter((row) => journal.get(keyOf(row)) === undefined));
    context.progress.resume(count(groups) - count(open));
    await callByPrefix(
      open.map((rows) => rows.length),
      context.tuning.concurrency,
      async (group, index) => {
        const row = open[group]?.[index];
        if (!row) return;
        const { judgement, tokens } = await judge(row, contextLength, work);
        if (judgement.divergent === -1) unknown.set(keyOf(row), judgement);
        else await journal.record(keyOf(row), judgement);
        context.progress.advance(1, { tokens });
      },
    );

    const counts = { divergent: 0, neutral: 0, unknown: 0, retried: 0, shortened: 0 };
    const judged = groups.flat().map((row) => {
      const judgement = unknown.get(keyOf(row)) ?? judgementSchema.parse(journal.get(keyOf(row)));
      counts[judgement.divergent === 1 ? 'divergent' : judgement.divergent === 0 ? 'neutral' : 'unknown']++;
      if (judgement.attempts > 1) counts.retried++;
      if (judgement.shortened) counts.shortened++;
      return { row, judgement };
    });
    const [nonsense] = unknown.values();
    if (nonsense) examples.set(work, nonsense.response);
    const table = await output.table('verdicts', verdictsTable);
    for (const { row, judgement } of judged)
      await table.append({
        data_id: row.data_id,
        token_id: row.token_id,
        divergent: judgement.divergent,
        verify_response: judgement.response,
        attempts: judgement.attempts,
      });
    return counts;
  },
  acceptance: {
    check({ unknown = 0 }, work) {
      const comparisons = work.inputs.of('continue').manifest.counts['mismatches'] ?? 0;
      checkUnknownShare(unknown, comparisons, work.params.maxUnknownShare, examples.get(work));
    },
    isAtFault: ({ unknown = 0 }) => unknown > 0,
  },
};

/** What the verifier said instead of a verdict, for the message. */
const examples = new WeakMap<StepWork<VerifyParams>, string>();

/** A part's comparisons, those of one question together and in order. */
async function readComparisons(
  { firstQuestion, questions: span }: PartPlan,
  { params, inputs }: StepWork<VerifyParams>,
): Promise<readonly (readonly Compared[])[]> {
  const range = { from: firstQuestion, to: firstQuestion + span };
  const questions = params.prompt === 'plain' ? await readQuestions(inputs, range) : new Map<number, string>();
  const source: StepReader = inputs.of('continue');
  const areMarked = source.manifest.params['skipStressDivergentToken'] !== true;
  const groups: (readonly Compared[])[] = [];
  let group: Compared[] = [];
  for await (const row of source.rows('continuations', continuationsTable, { ...range, columns: comparedColumns })) {
    if (group[0] && group[0].data_id !== row.data_id) {
      groups.push(withOneContext(group));
      group = [];
    }
    group.push({ ...row, areMarked, question: questions.get(row.data_id) ?? '' });
  }
  if (group.length > 0) groups.push(withOneContext(group));
  return groups;
}

/** Contexts of a question begin alike: they become parts of the longest, since all of a long response's together are its square. */
function withOneContext(group: readonly Compared[]): readonly Compared[] {
  const longest = group.reduce((best, { common_context: context }) => (context.length > best.length ? context : best), '');
  return group.map((each) => {
    const { common_context: context } = each;
    return longest.startsWith(context) ? { ...each, common_context: longest.slice(0, context.length) } : each;
  });
}

async function readQuestions(
  inputs: StepInputs,
  range: { readonly from: number; readonly to: number },
): Promise<ReadonlyMap<number, string>> {
  const questions = new Map<number, string>();
  const columns = ['data_id', 'question'] as const;
  for await (const row of inputs.of('convert').rows('questions', questionsTable, { ...range, columns }))
    questions.set(row.data_id, row.question);
  return questions;
}

/** Asks until the answer is 0 or 1, so many times. */
async function judge(
  comparison: Comparison,
  contextLength: number,
  { params, calls }: StepWork<VerifyParams>,
): Promise<{ readonly judgement: Judgement; readonly tokens: number }> {
  const { tokenizer } = calls.engine('verifier');
  const refused: string[] = [];
  let [tokens, shortened] = [0, false];
  while (refused.length < params.attempts) {
    const prompt = fittingPrompt(comparison, (shown) => makeMessages(params.prompt, shown, refused), {
      ...params,
      contextLength,
      tokenizer,
    });
    if (!prompt) break;
    shortened ||= prompt.isShortened;
    const answer = await calls.generate('verifier', { ids: prompt.ids, maxNewTokens: params.maxNewTokens });
    tokens += answer.tokens.length;
    const response = tokenizer.decode(answer.tokens.map(({ id }) => id));
    const verdict = parseVerdict(response);
    refused.push(response);
    if (verdict !== undefined) return { judgement: { divergent: verdict, response, attempts: refused.length, shortened }, tokens };
  }
  return { judgement: { divergent: -1, response: refused.at(-1) ?? '', attempts: refused.length, shortened }, tokens };
}

function count(groups: readonly (readonly unknown[])[]): number {
  return groups.reduce((sum, { length }) => sum + length, 0);
}

function keyOf({ data_id: dataId, token_id: position }: Compared): string {
  return `${dataId}/${position}`;
}
