import { join } from 'node:path';
import { PipelineError } from '../errors.ts';
import { oncePerRun } from '../once-per-run.ts';
import { convertParamsSchema, type ConvertParams } from '../params.ts';
import { makeSpec } from '../run-step.ts';
import { stepFolderName, stepHash } from '../step-identity.ts';
import type { PartPlan, StepDefinition, StepWork } from '../step.ts';
import { questionsTable } from '../tables.ts';
import { diskFileSystem } from '../workspace/file-system.ts';
import { entriesOf } from './presets.ts';
import { QuestionSet, type SetQuestion } from './question-set.ts';
import { QuestionStore, type QuestionIndex } from './question-store.ts';
import { openSource } from './source.ts';

/** Of a part. */
const blockQuestions = 64;

type Sources = { dataset: string; address: string; questions: number }[];

/** Makes one set of questions of data sets: unified, without doubles, each with an id that stays. */
export const convertStep: StepDefinition<ConvertParams> = {
  name: 'convert',
  format: 1,
  params: convertParamsSchema,
  inputs: [],
  engines: [],
  unit: 'questions',
  openParts: () => 1,

  check({ params }) {
    entriesOf(params);
    return Promise.resolve();
  },

  async plan(work) {
    const { index } = await questionsOf(work);
    let firstQuestion = 0;
    return index.blocks.map(({ questions }, number): PartPlan => {
      const first = firstQuestion;
      firstQuestion += questions;
      return { name: `part-${String(number).padStart(5, '0')}`, firstQuestion: first, questions, tables: ['questions'] };
    });
  },

  total: (_, parts) => Promise.resolve(parts.reduce((sum, { questions }) => sum + questions, 0)),

  async make({ firstQuestion, questions: count }, work, output) {
    const { store, index } = await questionsOf(work);
    const block = index.blocks[firstQuestion / blockQuestions];
    if (!block) throw new Error(`no block of questions begins with ${firstQuestion}`);
    const table = await output.table('questions', questionsTable);
    let data_id = firstQuestion;
    for (const question of await store.read(index, block)) await table.append({ data_id: data_id++, ...question });
    work.context.progress.advance(count);
    return { questions: count, ...block.counts };
  },
};

interface Questions {
  readonly store: QuestionStore;
  readonly index: QuestionIndex;
}

/** What the step has of its sources, which are read where that has not been done. Kept: the index may have thousands of blocks. */
const questionsOf = oncePerRun(async (work: StepWork<ConvertParams>): Promise<Questions> => {
  const hash = stepHash(makeSpec(convertStep, work.params, {}));
  const folder = join(work.context.workspace.folder, stepFolderName('convert', hash), 'source');
  const store = new QuestionStore(diskFileSystem, folder);
  await store.removeLeftovers(work.context.shard.index);
  return { store, index: (await store.index()) ?? (await readSources(work, store)) };
});

async function readSources({ params, context }: StepWork<ConvertParams>, store: QuestionStore): Promise<QuestionIndex> {
  const { sources: access, log, shard, signal } = context;
  if (!access) throw new Error('convert needs to know where data sets come from');
  const set = new QuestionSet();
  const sources: Sources = [];
  const questions = async function* (): AsyncGenerator<SetQuestion> {
    for (const entry of entriesOf(params)) {
      const source = await openSource(entry, access, signal);
      const { duplicates } = set.skipped;
      const read = { dataset: entry.name, address: source.address, questions: 0 };
      sources.push(read);
      log.info({ dataset: entry.name, split: entry.split, address: source.address, files: source.files.length }, 'data set found');
      for await (const question of set.of(entry, source, signal)) {
        read.questions++;
        yield question;
      }
      log.info({ ...read, ...set.skipped }, 'data set read');
      if (read.questions === 0 && set.skipped.duplicates === duplicates) throw nothingLeft(entry.name, entry.split, set);
    }
  };
  return store.fill(shard.index, blockQuestions, questions(), set.skipped, () => sources);
}

function nothingLeft(name: string, split: string, { skipped }: QuestionSet): PipelineError {
  const { filtered, empty } = skipped;
  const problem = `data set ${name}, split ${split} gives no question (of the set's rows so far ${filtered} were filtered, ${empty} empty)`;
  return new PipelineError('PIPELINE_SOURCE', problem, 'check its filter and the columns that it names, or leave it out', {
    field: 'params.datasets',
  });
}
