import { PipelineError } from '../errors.ts';
import { datasetEntrySchema, type ConvertParams, type DatasetEntry } from '../params.ts';
import { checkEntry } from './question.ts';

const bespoke = {
  path: 'hf://datasets/bespokelabs/Bespoke-Stratos-17k',
  question: { conversationField: 'conversations', role: 'user' },
} as const;

/**
 * Data sets by name: those of upstream's support_dataset_config.json, and the problems that the tiny models' labels are made of. Another meaning
 * of a name is another format of the step.
 */
export const datasetPresets: Readonly<Record<string, DatasetEntry>> = Object.fromEntries(
  [
    {
      name: 'aime',
      path: 'hf://datasets/di-zhang-fdu/AIME_1983_2024',
      question: { field: 'Question' },
      answerField: 'Answer',
      type: 'Math',
    },
    {
      name: 'gpqa_extended',
      path: 'hf://datasets/Idavidrein/gpqa',
      subset: 'gpqa_extended',
      question: {
        multipleChoice: {
          questionField: 'Question',
          optionFields: ['Correct Answer', 'Incorrect Answer 1', 'Incorrect Answer 2', 'Incorrect Answer 3'],
        },
      },
      template: '{{question}}\n\n{{options}}\n\nReason first, then give the letter of the right option.',
      type: 'QA',
    },
    { name: 'Bespoke-Stratos-17k', ...bespoke, type: 'default' },
    { name: 'Bespoke-Stratos-17k-Math', ...bespoke, filter: { bespoke: 'math' }, type: 'Math' },
    { name: 'Bespoke-Stratos-17k-Code', ...bespoke, filter: { bespoke: 'code' }, type: 'Code' },
    { name: 'Bespoke-Stratos-17k-QA', ...bespoke, filter: { bespoke: 'qa' }, type: 'QA' },
    // relative: it comes with the program
    {
      name: 'tiny',
      path: 'examples/models/problems/train.jsonl',
      idField: 'id',
      question: { field: 'question' },
      answerField: 'answer',
      type: 'Math',
    },
  ].map((entry) => [entry.name, datasetEntrySchema.parse(entry)]),
);

/**
 * The entries that parameters name, in their order. `numItems` of the parameters holds for each entry that has none of its own.
 *
 * @throws PipelineError `PIPELINE_PARAMS` for a name that is no preset, two entries of one name, or a template that cannot be filled
 */
export function entriesOf({ datasets, numItems }: ConvertParams): readonly DatasetEntry[] {
  const names = new Set<string>();
  return datasets.map((given, index) => {
    const field = `params.datasets.${index}`;
    const entry = typeof given === 'string' ? presetOf(given, field) : given;
    if (names.has(entry.name)) {
      const problem = `${field}: two data sets are called ${entry.name}, and ids begin with the name`;
      throw new PipelineError('PIPELINE_PARAMS', problem, 'give each a name of its own', { field: `${field}.name` });
    }
    names.add(entry.name);
    checkEntry(entry, field);
    return entry.numItems === undefined && numItems !== undefined ? { ...entry, numItems } : entry;
  });
}

function presetOf(name: string, field: string): DatasetEntry {
  const preset = Object.hasOwn(datasetPresets, name) ? datasetPresets[name] : undefined;
  if (preset) return preset;
  const fix = `name one of ${Object.keys(datasetPresets).join(', ')}, or write an entry with name, path and question`;
  throw new PipelineError('PIPELINE_PARAMS', `${field}: there is no data set preset ${name}`, fix, { field });
}
