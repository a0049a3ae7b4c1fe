import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PipelineError } from '../../../src/pipeline/errors.ts';
import { hiddenOf, indicesOf, labelSet, logitsOf, type LabelledQuestion, type LabelSet, type Position } from './label-set.ts';

const whole = { validationShare: 0, testShare: 0 };

/** A match, a neutral and a divergent mismatch, one without a verdict, and the LLM's end of thinking that the SLM does not foresee. */
const positions: readonly Position[] = [
  { tokenId: 10, real: 1, next: 2, slm: 2, type: 0 },
  { tokenId: 11, real: 2, next: 3, slm: 3 },
  { tokenId: 12, real: 3, next: 4, slm: 9, verdict: 0 },
  { tokenId: 13, real: 4, next: 5, slm: 8, verdict: 1 },
  { tokenId: 14, real: 5, next: 6, slm: 7, verdict: -1 },
  { tokenId: 15, real: 6, next: 50, slm: 6 },
  { tokenId: 16, real: 50, next: 7, slm: 7, type: 2 },
];
const agreeing = (dataId: number): LabelledQuestion => ({ dataId, positions: [{ tokenId: 3, real: 1, next: 2, slm: 2 }] });

describe('the label set', function () {
  this.timeout(120_000);
  let folder: string;
  let sets = 0;
  const make = (questions: readonly LabelledQuestion[], params: object = whole, shards = 1): Promise<LabelSet> =>
    labelSet(join(folder, String(sets++)), questions, params, shards);
  const keys = ({ rows }: LabelSet) => rows.map(({ data_id, token_id }) => [data_id, token_id]);

  before(() => (folder = mkdtempSync(join(tmpdir(), 'r2r-labels-'))));
  after(() => rmSync(folder, { recursive: true }));

  it('has a row for each prediction, labelled by the verdict on the token behind it', async () => {
    const { rows } = await make([{ dataId: 3, positions }]);
    assert.deepEqual(
      rows.map((row) => [row.token_id, row.mismatch, row.divergent, row.mask, row.small_token, row.real_token]),
      [
        [10, 0, 0, 0, 2, 1],
        [11, 0, 0, 1, 3, 2],
        [12, 1, 0, 1, 9, 3],
        [13, 1, 1, 1, 8, 4],
        [14, 1, -1, 1, 7, 5],
        [15, 0, 0, 1, 6, 6],
        [16, 0, 0, 1, 7, 50],
      ],
    );
    for (const [index, row] of rows.entries()) {
      const { tokenId, slm } = positions[index]!;
      assert.equal(row.data_id, 3);
      assert.deepEqual(row.small_logits, logitsOf(3, tokenId));
      assert.deepEqual([...Array.from(row.small_indices)], [...indicesOf(slm)]);
      assert.deepEqual(row.small_last_hidden_states, hiddenOf(3, tokenId));
    }
  });

  it('counts its classes, all together and by split; rows that are not to be trained on belong to none', async () => {
    const { manifest } = await make([{ dataId: 3, positions }, agreeing(4)]);
    const counts = { identical: 4, neutral: 1, divergent: 1, unknown: 1, rows: 8, questions: 2 };
    const ofSplit = Object.fromEntries(Object.entries(counts).map(([name, count]) => [`train.${name}`, count]));
    assert.deepEqual(manifest.counts, { ...counts, ...ofSplit });
  });

  it('keeps questions that SLM and LLM agree upon, and leaves out those whose mismatches nobody judged', async () => {
    const unjudged: LabelledQuestion = { dataId: 5, positions: [{ tokenId: 3, real: 1, next: 2, slm: 8 }], mismatches: 1 };
    assert.deepEqual(keys(await make([agreeing(4), unjudged, agreeing(6), { dataId: 7, positions: [] }])), [
      [4, 3],
      [6, 3],
    ]);
  });

  it('takes each limit of data_id by itself, both inclusive, and one of positions', async () => {
    const questions = [2, 4, 6, 8].map(agreeing);
    const dataIds = async (params: object) => keys(await make(questions, { ...whole, ...params })).map(([id]) => id);
    assert.deepEqual(await dataIds({ minDataId: 4 }), [4, 6, 8]);
    assert.deepEqual(await dataIds({ maxDataId: 6 }), [2, 4, 6]);
    assert.deepEqual(await dataIds({ minDataId: 3, maxDataId: 6 }), [4, 6]);
    const short = await make([{ dataId: 3, positions }], { ...whole, finalMaxTokenId: 13 });
    assert.deepEqual(
      keys(short),
      [10, 11, 12, 13].map((at) => [3, at]),
    );
    assert.equal(short.manifest.counts['unknown'], 0);
    await assert.rejects(
      make(questions, { ...whole, minDataId: 9 }),
      (error) => error instanceof PipelineError && error.code === 'PIPELINE_PARAMS' && error.field === 'params.minDataId',
    );
  });

  it('is split by question: each is in one file alone, in order of data_id and position', async () => {
    const questions = Array.from({ length: 20 }, (_, dataId): LabelledQuestion => ({ dataId: 3 * dataId, positions }));
    const { manifest, files } = await make(questions, { validationShare: 0.1, testShare: 0.2, rowsPerPart: 35 });
    assert.deepEqual(Object.keys(files), [
      'test-00000-of-00001.parquet',
      ...['train-00000-of-00003.parquet', 'train-00001-of-00003.parquet', 'train-00002-of-00003.parquet'],
      'validation-00000-of-00001.parquet',
    ]);
    assert.deepEqual(
      ['questions', 'train.questions', 'validation.questions', 'test.questions', 'train.rows', 'train.divergent'].map(
        (name) => manifest.counts[name],
      ),
      [20, 14, 2, 4, 98, 14],
    );
    const { manifest: again, files: sharded } = await make(questions, { validationShare: 0.1, testShare: 0.2, rowsPerPart: 35 }, 3);
    assert.deepEqual(sharded, files);
    assert.deepEqual(again, manifest);
    assert.equal(
      manifest.parts.reduce((sum, { files: made }) => sum + made[0]!.rows, 0),
      20 * positions.length,
    );
  });

  it('refuses verdicts that do not belong to the predictions: a label on the wrong row is worse than none', async () => {
    const cases: Readonly<Record<string, LabelledQuestion>> = {
      'two verdicts on token 13': { dataId: 3, positions: [positions[2]!, positions[2]!], mismatches: 2 },
      '1 verdicts on question 3, whose predictions have 2 mismatches': { dataId: 3, positions: [positions[2]!], mismatches: 2 },
      'a verdict on token 12 of question 3, where the SLM says the same': { dataId: 3, positions: [{ ...positions[1]!, verdict: 1 }] },
    };
    for (const [said, question] of Object.entries(cases))
      await assert.rejects(
        make([question]),
        (error) =>
          error instanceof PipelineError &&
          error.code === 'PIPELINE_INPUT_MISSING' &&
          error.step === 'verify' &&
          error.message.includes(said),
        said,
      );
  });
});
