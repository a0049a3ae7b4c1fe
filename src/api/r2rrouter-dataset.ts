import { z } from 'zod';
import { rules } from './cel.ts';

/** Data sets that upstream names, and how their rows become questions is known of. */
export const datasetPresets = [
  'aime',
  'gpqa_extended',
  'Bespoke-Stratos-17k',
  'Bespoke-Stratos-17k-Math',
  'Bespoke-Stratos-17k-Code',
  'Bespoke-Stratos-17k-QA',
] as const;

const column = z.string().min(1).max(256);
const value = z.union([z.int(), z.string()]).meta({ maxLength: 1024 });

const claim = '[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?';
const path = '(/[A-Za-z0-9._@+=-]+)+';

/** Where rows are: a folder or a file, or a repository of data sets on the hub. */
export function dataPath(forms: readonly string[], message: string) {
  return z
    .string()
    .min(1)
    .max(1024)
    .meta(
      rules(
        { rule: forms.map((form) => `self.matches('^${form}$')`).join(' || '), message },
        {
          rule: "!self.matches('(^|/)[.][.]?(/|@|$)')",
          message: 'path: must not contain "." or ".." as a part; write the full path',
        },
      ),
    );
}

export const onClaim = `pvc://${claim}${path}/?`;
export const inImage = `${path}/?`;
const onHub = 'hf://datasets/[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*(@[A-Za-z0-9][A-Za-z0-9._/-]*)?';

const filter = z
  .object({
    field: column.optional().describe('The column that is looked at.'),
    equals: value.optional().describe('Rows with this value stay.'),
    in: z.array(value).min(1).max(64).optional().describe('Rows with one of these values stay.'),
    bespoke: z
      .enum(['math', 'code', 'qa'])
      .optional()
      .describe('Rows of this kind stay, told by the first words of the conversation as upstream tells those of Bespoke-Stratos.'),
  })
  .meta(
    rules({
      rule: 'has(self.bespoke) ? !has(self.field) && !has(self.equals) && !has(self.__in__) : has(self.field) && has(self.equals) != has(self.__in__)',
      message: 'filter: needs either bespoke alone, or field with one of equals and in',
    }),
  );

const multipleChoice = z.object({
  questionField: column.describe('Column of the question.'),
  optionFields: z.array(column).min(2).max(26).describe('Columns of the options, the right one first.'),
  seed: z.int32().min(0).default(42).describe('Of the order in which options are shown; it differs from question to question.'),
});

export const datasetSchema = z
  .object({
    preset: z
      .enum(datasetPresets)
      .optional()
      .describe('A data set whose address and columns are known. Left out: name, path and a column are given.'),
    name: z
      .string()
      .min(1)
      .max(128)
      .meta(
        rules({
          rule: "self.matches('^[A-Za-z0-9][A-Za-z0-9_.-]*$')",
          message: 'name: must be letters, digits and . _ -',
        }),
      )
      .optional()
      .describe('Begins the ids of its questions, so it must be unique among the data sets.'),
    path: dataPath(
      [onHub, onClaim, inImage],
      'path: must be hf://datasets/<org>/<repo>[@<revision>], pvc://<claim>/<path>, or an absolute path in the image',
    )
      .optional()
      .describe(
        '`hf://datasets/<org>/<repo>[@<revision>]`; `pvc://<claim>/<path>`, a file or folder on a PersistentVolumeClaim; or an absolute path in the image.',
      ),
    subset: z.string().min(1).max(256).optional().describe('Configuration of a data set on the hub. Left out: the default one.'),
    split: z.string().min(1).max(256).default('train').describe('Split of a data set on the hub.'),
    format: z.enum(['parquet', 'jsonl', 'csv']).optional().describe('Left out: by the endings of the files.'),
    idField: column.optional().describe("Column of the questions' ids. Left out: the row's number."),
    questionField: column.optional().describe('Column of the question.'),
    conversationField: column.optional().describe('Column of a conversation, whose first turn of conversationRole is the question.'),
    conversationRole: z.string().min(1).max(64).default('user').describe('Only with conversationField.'),
    multipleChoice: multipleChoice.optional().describe('Questions with options.'),
    filter: filter.optional().describe('Which rows are taken. Left out: all.'),
    template: z
      .string()
      .min(1)
      .max(8192)
      .optional()
      .describe('Text of a question, with {{question}} and, for multiple choice, {{options}}. Left out: the question, then the options.'),
    type: z.string().max(128).default('').describe('Kind of the questions, such as Math; kept with them.'),
    answerField: column.optional().describe('Column of the right answer; kept with the question. Left out: none.'),
    numItems: z.int32().min(1).optional().describe('Take the first so many questions. Left out: all.'),
  })
  .meta(
    rules(
      {
        rule: 'has(self.preset) ? !(has(self.name) || has(self.path) || has(self.subset) || has(self.format) || has(self.idField) || has(self.filter) || has(self.template) || has(self.answerField) || has(self.numItems)) : has(self.name) && has(self.path)',
        message: 'preset: give either preset alone, or name and path',
      },
      {
        rule: 'has(self.preset) ? !(has(self.questionField) || has(self.conversationField) || has(self.multipleChoice)) : [has(self.questionField), has(self.conversationField), has(self.multipleChoice)].filter(each, each).size() == 1',
        message: 'questionField: give exactly one of questionField, conversationField and multipleChoice, and with a preset none',
      },
    ),
  );

export type DatasetSpec = z.infer<typeof datasetSchema>;
