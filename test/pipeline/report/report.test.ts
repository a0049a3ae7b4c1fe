import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { labelClasses } from '../../../src/pipeline/report/distribution.ts';
import { reportLabels, reportText } from '../../../src/pipeline/report/report.ts';
import { Workspace } from '../../../src/pipeline/workspace/workspace.ts';
import { temporaryFolder } from '../files.ts';
import { isMismatch, labelledWorkspace, tokenAt, verdictOf } from './labelled-workspace.ts';

const decode = (ids: readonly number[]): string => ids.map((id) => `[${id}]`).join('');

describe('the report of a label set', function () {
  this.timeout(60_000);
  let folder: string;
  let workspace: Workspace;
  let hash: string;
  before(async () => {
    folder = temporaryFolder();
    workspace = new Workspace(join(folder, 'labels'));
    hash = await labelledWorkspace(workspace.folder, 30, { validationShare: 0.2, testShare: 0.1 });
  });
  after(() => rmSync(folder, { recursive: true }));

  it('has the distribution, all together and by split', async () => {
    const { distribution } = await reportLabels(workspace);
    assert.equal(distribution.hash, hash);
    // 11 rows a question, of which three are mismatches with verdicts in turn
    assert.deepEqual(distribution.all, { identical: 240, neutral: 30, divergent: 30, unknown: 30, rows: 330, questions: 30 });
    const { train, validation, test } = distribution.splits;
    assert.deepEqual([train.questions, validation.questions, test.questions], [21, 6, 3]);
    for (const each of labelClasses) assert.equal(train[each] + validation[each] + test[each], distribution.all[each]);
  });

  it('has so many examples of each class, each of a token with that label and its texts', async () => {
    const { examples } = await reportLabels(workspace, { count: 20, decode });
    for (const label of labelClasses) {
      assert.equal(examples[label].length, 20);
      const places = examples[label].map(({ dataId, tokenId }) => `${dataId}/${tokenId}`);
      assert.equal(new Set(places).size, 20);
      for (const example of examples[label]) {
        const { dataId, tokenId, id, llmToken, slmToken } = example;
        assert.equal(id, `set/${dataId}`);
        assert.equal(llmToken, tokenAt(dataId, tokenId));
        assert.equal(llmToken === slmToken, label === 'identical');
        assert.equal(isMismatch(tokenId), label !== 'identical');
        if (label === 'identical') {
          assert.equal(example.llmText, decode([llmToken]));
          assert.equal(example.context, decode(Array.from({ length: tokenId }, (_, position) => tokenAt(dataId, position))));
        } else {
          assert.equal({ neutral: 0, divergent: 1, unknown: -1 }[label], verdictOf(dataId, tokenId));
          assert.equal(example.llmText, `LLM <<says>> ${dataId}/${tokenId}`);
          assert.equal(example.slmText, `SLM <<says>> ${dataId}/${tokenId}`);
        }
      }
    }
  });

  it('draws the same examples for the same seed, others for another, and of many questions', async () => {
    const places = async (seed: number) => {
      const { examples } = await reportLabels(workspace, { count: 5, seed });
      return labelClasses.map((label) => examples[label].map(({ dataId, tokenId }) => `${dataId}/${tokenId}`));
    };
    assert.deepEqual(await places(1), await places(1));
    assert.notDeepEqual(await places(1), await places(2));
    for (const of of await places(1)) assert.ok(new Set(of.map((place) => place.split('/')[0])).size > 1);
  });

  it('keeps to the limits of the label set', async () => {
    const narrow = new Workspace(join(folder, 'narrow'));
    await labelledWorkspace(narrow.folder, 6, { minDataId: 2, maxDataId: 3, finalMaxTokenId: 8, validationShare: 0, testShare: 0 });
    const { distribution, examples } = await reportLabels(narrow);
    for (const label of labelClasses) {
      assert.equal(examples[label].length, Math.min(20, distribution.all[label]), label);
      assert.ok(examples[label].every(({ dataId, tokenId }) => dataId >= 2 && dataId <= 3 && tokenId <= 9));
    }
  });

  it('is text that a person can read on any terminal', async () => {
    const text = reportText(await reportLabels(workspace, { count: 3, decode }));
    assert.match(text, new RegExp(`^Label set ${hash}\n`));
    assert.match(text, /^all +30 +330 +240 \(72\.7 %\) +30 \(9\.1 %\) +30 \(9\.1 %\) +30 \(9\.1 %\)$/m);
    assert.match(
      text,
      /^divergent: .*changes the meaning\.\n\n {2}1\. set\/\d+, token \d+\n {5}… context \d+\/\d+↵line two �\[31m\n {5}LLM: {2}LLM <<says>> /m,
    );
    assert.match(text, /verifier, asked 3 times: I cannot say/);
    assert.match(text, /^ {5}both: \[\d+\]$/m);
    assert.ok(!text.includes('\u001b'));
    const { examples } = await reportLabels(workspace, { count: 1 });
    assert.match(examples.identical[0]?.llmText ?? '', /^token \d+$/);
  });

  it('says which label sets there are when it cannot tell which is meant', async () => {
    const other = await labelledWorkspace(workspace.folder, 30, { validationShare: 0, testShare: 0 });
    const code = 'PIPELINE_INPUT_MISSING';
    await assert.rejects(reportLabels(workspace), { code, message: new RegExp(`several label sets: .*${other}.*name one of them`) });
    assert.equal((await reportLabels(workspace, { hash: other })).distribution.splits.test.questions, 0);
    await assert.rejects(reportLabels(workspace, { hash: '0'.repeat(16) }), { code, message: /no finished label set 0000/ });
    await assert.rejects(reportLabels(new Workspace(join(folder, 'empty'))), { code, message: /run the steps through construct first/ });
  });
});
