import { z } from 'zod';
import { contextLengthOf } from '../context-length.ts';
import { oncePerRun } from '../once-per-run.ts';
import { respondParamsSchema, type RespondParams } from '../params.ts';
import type { JsonValue } from '../step-identity.ts';
import type { PartJournal, StepDefinition, StepWork } from '../step.ts';
import { questionsTable, responsesTable, type QuestionRow, type ResponseRow } from '../tables.ts';
import { checkOneVocabulary } from '../vocabulary.ts';
import { splitAnswer, type GeneratedAnswer } from './answer-split.ts';
import { makePrompt, type Prompt } from './prompt.ts';
import { planResponses, questionsOf, selectQuestions } from './selection.ts';

const answerSchema = z.object({ ids: z.array(z.int()), finish: z.enum(['stop', 'length']) });

const selectedOf = oncePerRun(({ inputs, params }: StepWork<RespondParams>) => selectQuestions(inputs.of('convert'), params));

/** What the LLM, or the SLM where it is the writer, answers to each question, with the prompt that the SLM gets when it serves. */
export const respondStep: StepDefinition<RespondParams> = {
  name: 'respond',
  format: 1,
  params: respondParamsSchema,
  inputs: ['convert'],
  engines: ['slm', 'llm'],
  unit: 'questions',
  // one part more than fill the engine, for those whose last answers are long
  openParts: ({ concurrency }) => Math.ceil(concurrency / 8) + 1,
  async check(work) {
    const { calls, context } = work;
    checkOneVocabulary(calls.engine('slm').tokenizer, calls.engine('llm').tokenizer);
    const { maxNewTokens, writer = 'llm' } = work.params;
    const contextLength = await contextLengthOf(writer, work);
    if (contextLength < maxNewTokens)
      context.log.warn({ writer, contextLength, maxNewTokens }, 'the writer takes shorter sequences than maxNewTokens: answers end there');
  },
  plan: async (work) => planResponses(await selectedOf(work)),
  async total(work, parts) {
    const selected = await selectedOf(work);
    return parts.reduce((sum, part) => sum + questionsOf(part, selected).length, 0);
  },
  async make(part, work, output, journal) {
    const asked = new Set(questionsOf(part, await selectedOf(work)));
    const [from, to] = [part.firstQuestion, part.firstQuestion + part.questions];
    const questions: QuestionRow[] = [];
    for await (const row of work.inputs.of('convert').rows('questions', questionsTable, { from, to }))
      if (asked.has(row.data_id)) questions.push(row);
    const contextLength = await contextLengthOf(work.params.writer ?? 'llm', work);
    const rows = await Promise.all(questions.map((question) => respond(question, contextLength, work, journal)));

    const finished = await output.table('finished', responsesTable);
    const unfinished = await output.table('unfinished', responsesTable);
    const counts = { questions: rows.length, finished: 0, unfinished: 0, tokens: 0 };
    for (const row of rows) {
      await (row.is_finished ? finished : unfinished).append(row);
      counts[row.is_finished ? 'finished' : 'unfinished']++;
      counts.tokens += row.output_tokens;
    }
    return counts;
  },
};

async function respond(
  question: QuestionRow,
  contextLength: number,
  work: StepWork<RespondParams>,
  journal: PartJournal,
): Promise<ResponseRow> {
  const { params, calls, context } = work;
  const { tokenizer } = calls.engine('slm');
  const prompt = makePrompt(question.question, tokenizer, params);
  const key = String(question.data_id);
  if (journal.get(key) === undefined) {
    const answer = await generate(prompt, Math.min(params.maxNewTokens, contextLength - prompt.ids.length), work);
    await journal.record(key, answer as unknown as JsonValue);
    context.progress.advance(1, { tokens: answer.ids.length });
  } else context.progress.resume(1);
  const answer = answerSchema.parse(journal.get(key));
  const { reasoning, response, isFinished } = splitAnswer(answer, prompt.startsThinking, tokenizer, params);
  return {
    data_id: question.data_id,
    id: question.id,
    input_text: prompt.text,
    input_ids: prompt.ids,
    output_ids: answer.ids,
    model_reasoning: reasoning,
    model_response: response,
    is_finished: isFinished,
    finish: answer.finish,
    output_tokens: answer.ids.length,
  };
}

/** Until an end token or the limit; a prompt that leaves no room has an empty answer, which is not finished. */
async function generate({ ids: prompt }: Prompt, limit: number, { calls, params }: StepWork<RespondParams>): Promise<GeneratedAnswer> {
  const ids: number[] = [];
  const { writer = 'llm' } = params;
  const endIds = new Set(calls.engine(writer).tokenizer.endIds);
  // A server may stop earlier than asked, when its own limits are reached: it is asked to go on.
  while (ids.length < limit) {
    const { tokens, finish } = await calls.generate(writer, { ids: [...prompt, ...ids], maxNewTokens: limit - ids.length });
    for (const { id } of tokens) ids.push(id);
    if (finish === 'stop' || endIds.has(ids.at(-1) ?? -1)) return { ids, finish: 'stop' };
  }
  return { ids, finish: 'length' };
}
