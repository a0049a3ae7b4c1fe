import { PipelineError } from '../errors.ts';
import { oncePerRun } from '../once-per-run.ts';
import { constructParamsSchema, type ConstructParams } from '../params.ts';
import type { Counts, StepDefinition, StepWork } from '../step.ts';
import { labelsTable, prefillTable, verdictsTable } from '../tables.ts';
import { writerOf } from '../writer.ts';
import { inconsistent, VerdictReader } from './join.ts';
import { classOf, labelRow, shapeOf } from './label-rows.ts';
import { planLabels, questionsIn, questionsOf, type LabelledQuestion } from './question-rows.ts';

/** The label set: what the SLM said at each position, what it had in mind, and whether it matters that the LLM said something else. */
export const constructStep: StepDefinition<ConstructParams> = {
  name: 'construct',
  format: 1,
  params: constructParamsSchema,
  inputs: ['respond', 'prefill', 'verify'],
  engines: [],
  unit: 'rows',
  // it waits for no server, and a second row group in memory would make nothing faster
  openParts: () => 1,
  async check(work) {
    const { inputs, context } = work;
    const questions = await questionsOf(work);
    const predicted = inputs.of('prefill').manifest.parts.filter(({ counts }) => (counts['rows'] ?? 0) > 0).length;
    if (questions.length < predicted)
      context.log.warn(
        { questions: questions.length, predicted },
        'questions outside the limits, or without verdicts on their mismatches, are left out',
      );
    if (questions.length > 0) return;
    const problem = `none of ${predicted} questions is left for the label set`;
    throw new PipelineError('PIPELINE_PARAMS', problem, 'widen minDataId and maxDataId, and the token limits of the steps before', {
      field: 'params.minDataId',
    });
  },
  plan: async (work) => planLabels(await questionsOf(work), work.params.rowsPerPart),
  async total(work, parts) {
    const all = await questionsOf(work);
    return parts.reduce((sum, part) => sum + questionsIn(part, all).reduce((rows, each) => rows + each.rows, 0), 0);
  },
  async make(part, work, output) {
    const { inputs, context } = work;
    const labels = await output.table('labels', labelsTable);
    const counts = new ClassCounts(part.name.split('-', 1)[0] ?? '');
    const range = { from: part.firstQuestion, to: part.firstQuestion + part.questions };
    const verdicts = new VerdictReader(inputs.of('verify').rows('verdicts', verdictsTable, range));
    try {
      for (const question of questionsIn(part, await questionsOf(work))) {
        context.signal.throwIfAborted();
        for await (const label of labelsOf(question, verdicts, work)) {
          await labels.append(label);
          counts.add(label);
        }
        counts.questions++;
        context.progress.advance(question.rows);
      }
    } finally {
      await verdicts.close();
    }
    return counts.all;
  },
};

const shapeIn = oncePerRun(async ({ inputs }: StepWork<ConstructParams>) => shapeOf(await inputs.of('prefill').metadata('rows')));

async function* labelsOf({ dataId, mismatches }: LabelledQuestion, reader: VerdictReader, work: StepWork<ConstructParams>) {
  const { finalMaxTokenId = Infinity } = work.params;
  const shape = await shapeIn(work);
  const writer = writerOf(work.inputs.of('respond'));
  const verdicts = await reader.of(dataId);
  if (verdicts.size !== mismatches)
    throw inconsistent(`there are ${verdicts.size} verdicts on question ${dataId}, whose predictions have ${mismatches} mismatches`);
  let used = 0;
  for await (const row of work.inputs.of('prefill').rows('rows', prefillTable(shape), { from: dataId, to: dataId + 1 })) {
    const label = labelRow(row, verdicts, shape, writer);
    used += label.mismatch;
    if (row.token_id <= finalMaxTokenId) yield label;
  }
  if (used !== mismatches) throw inconsistent(`${mismatches - used} verdicts on question ${dataId} are on tokens that were not predicted`);
}

/** Rows by class, together and of the split; rows that are not to be trained on belong to no class. */
class ClassCounts {
  readonly #split: string;
  readonly #classes = { identical: 0, neutral: 0, divergent: 0, unknown: 0, rows: 0 };
  questions = 0;

  constructor(split: string) {
    this.#split = split;
  }

  add(label: Parameters<typeof classOf>[0] & { readonly mask: number }): void {
    this.#classes.rows++;
    if (label.mask === 1) this.#classes[classOf(label)]++;
  }

  get all(): Counts {
    const counts = { ...this.#classes, questions: this.questions };
    return { ...counts, ...Object.fromEntries(Object.entries(counts).map(([name, count]) => [`${this.#split}.${name}`, count])) };
  }
}
