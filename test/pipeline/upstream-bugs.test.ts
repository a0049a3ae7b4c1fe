import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

/** What upstream's labelling and training do wrong, and the test that shows it absent here: [bug, file, the test's title or function]. */
const bugs: readonly (readonly [string, string, string])[] = [
  ['ids of several data sets collide', 'convert/convert-step', 'keeps ids apart that are row numbers of several data sets'],
  [
    'a question is there twice',
    'convert/convert-step',
    'takes no question twice, of whichever data set: it would be trained on and tested with',
  ],
  ['options are shuffled without a seed', 'convert/convert-step', 'shuffles the options by seed and id, and knows the right letter'],
  ['all of Bespoke-Stratos needs a filter', 'convert/convert-step', 'needs no filter for all of Bespoke-Stratos'],
  [
    'a row without a question becomes an empty one',
    'convert/convert-step',
    'never makes an empty question: rows that say nothing are left out and counted',
  ],
  [
    'answers are lost when the process ends, and resuming finds none',
    'resume',
    'by a kill at any file operation leaves the same bytes when it has gone on',
  ],
  ['the template is applied twice', 'respond/answer-split', 'has the template once, and its tokens are those of the text'],
  [
    'the token that begins a text is there twice',
    'respond/answer-split',
    'has the token that begins a text once, and knows that the template began to think',
  ],
  [
    'an answer that ran into the limit counts as finished',
    'respond/answer-split',
    'that closed its thinking and ran into the limit is not finished',
  ],
  [
    'answers come in the order in which they were finished',
    'continue/label-steps',
    'ask every question once, and keep what was said to the last token',
  ],
  ['data_id begins anew in each shard', 'run-step', 'gives the same files whatever the number of shards and their order'],
  [
    'shards of the SLM pass collide',
    'prefill/prefill-step',
    'is the same to the byte with whatever the engine has cached, however many calls at a time, in any number of shards',
  ],
  ['the SLM pass holds everything in memory', 'prefill/forced-pass', 'asks for no segment before the one before it has been taken'],
  ['a failed generation is judged as an empty text', 'engine-calls', 'that fail for good end the step'],
  ['a step run again appends its rows once more', 'run-step', 'that is done is not done again'],
  [
    'a verifier run that is resumed begins at row 0 and appends',
    'continue/label-steps',
    'verify: resumed, it has each comparison once, and asks about no "nan" where a context is empty',
  ],
  ['an empty context is read back as nan', 'verify/prompt', 'says that there is no context where there is none'],
  ['a verdict may be 11', 'verify/prompt', "in ${JSON.stringify(said)} is ${verdict ?? 'none'}"],
  [
    'errors of the verifier become labels',
    'continue/label-steps',
    'refuse a verifier that answers nonsense, and ask again what it was asked when it has been put right',
  ],
  [
    'min_data_id alone is ignored',
    'construct/construct-step',
    'takes each limit of data_id by itself, both inclusive, and one of positions',
  ],
  [
    'rows that are there twice shift labels',
    'construct/construct-step',
    'refuses verdicts that do not belong to the predictions: a label on the wrong row is worse than none',
  ],
  [
    'test rows are of questions that were trained on',
    'construct/construct-step',
    'is split by question: each is in one file alone, in order of data_id and position',
  ],
  ['the trainer splits by token', 'trainer/test_label_set', 'test_one_set_is_split_by_question_without_a_leak'],
  [
    'early stopping looks at the rows that choose the threshold',
    'trainer/test_run',
    'test_early_stopping_never_looks_at_the_rows_that_choose_the_threshold',
  ],
  ['a training has no seed', 'trainer/test_run', 'test_a_seed_repeats_and_another_differs'],
  [
    'the configuration for Qwen3-4B has an argument that its class refuses',
    'trainer/test_config',
    'test_the_argument_that_upstreams_qwen3_4b_file_has_too_many_is_left_out',
  ],
  ['a threshold that misses the recall is reported and used', 'trainer/test_scoring', 'test_a_grid_that_does_not_reach_down_is_refused'],
];

describe("upstream's bugs in labelling and training", () => {
  for (const [bug, file, title] of bugs) {
    it(`are absent, which a test shows: ${bug}`, () => {
      const [, python] = /^trainer\/(.+)$/.exec(file) ?? [];
      const path = python === undefined ? `test/pipeline/${file}.test.ts` : `trainer/tests/${python}.py`;
      const text = readFileSync(join(root, path), 'utf8');
      const quoted = ["'", '"', '`'].some((quote) => text.includes(`it(${quote}${title}${quote}, `));
      assert.ok(python === undefined ? quoted : text.includes(`def ${title}(`), `${path} has no test ${title}`);
    });
  }

  it('are absent: there is no API key in the code', () => {
    const files = globSync(['src/pipeline/**/*.ts', 'src/sglang/**/*.ts', 'trainer/r2r_trainer/**/*.py'], { cwd: root });
    assert.ok(files.length > 100);
    for (const file of files) assert.doesNotMatch(readFileSync(join(root, file), 'utf8'), /['"]api_key['"]|\bsk-\w{8}/, file);
  });
});
