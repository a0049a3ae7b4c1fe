import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { runAll } from '../../src/pipeline/all-steps.ts';
import type { EngineRole, StepEngine } from '../../src/pipeline/step.ts';
import { stepFormats, stepNames } from '../../src/pipeline/step-identity.ts';
import { stepDefinition } from '../../src/pipeline/steps.ts';
import { stepInputs } from '../../src/manifests/router-steps.ts';
import { startTinyEngines, tinyContext, tinyParams } from './continue/tiny-run.ts';
import { silentLog } from './toy-steps.ts';
import { finishedFiles, leftovers, temporaryFolder } from './files.ts';

const params = { ...tinyParams('train', 6), construct: { validationShare: 0.2, testShare: 0.2 } };

describe('all steps', function () {
  this.timeout(60_000);
  let folder: string;
  let engines: Readonly<Record<EngineRole, StepEngine>>;
  let close: () => Promise<void>;
  before(async () => {
    folder = temporaryFolder();
    ({ engines, close } = await startTinyEngines());
  });
  after(async () => {
    await close();
    rmSync(folder, { recursive: true });
  });

  it('have the names, formats and inputs that the operator counts on', async () => {
    for (const name of stepNames) {
      const { name: own, format, inputs } = await stepDefinition(name);
      assert.deepEqual({ own, format, inputs }, { own: name, format: stepFormats[name], inputs: stepInputs[name] });
    }
  });

  it('make a label set in which every token has one class', async () => {
    const copy = join(folder, 'whole');
    const done: string[] = [];
    const manifests = await runAll(
      params,
      () => tinyContext(copy, engines),
      ({ step }) => done.push(step),
    );
    assert.deepEqual(done, stepNames);
    const { rows, counts } = manifests.construct;
    const { identical = 0, neutral = 0, divergent = 0, unknown = 0 } = counts;
    assert.ok(identical > 100 && neutral > 5 && divergent > 2, JSON.stringify(counts));
    assert.equal(identical + neutral + divergent + unknown, counts['rows']);
    assert.equal(rows['labels'], manifests.prefill.rows['rows']);
    assert.equal(neutral + divergent + unknown, manifests.continue.counts['mismatches']);
    assert.deepEqual(leftovers(copy), []);
  });

  it('in another workspace leave the same bytes, and run again ask nothing', async () => {
    const copy = join(folder, 'other');
    const first = await runAll(params, () => tinyContext(copy, engines));
    const files = finishedFiles(copy);
    assert.deepEqual(withoutSources(files), withoutSources(finishedFiles(join(folder, 'whole'))));
    const again = await runAll(params, () => tinyContext(copy, {}));
    assert.deepEqual(again, first);
    assert.deepEqual(finishedFiles(copy), files);
  });

  const changes = {
    respond: { ...params, respond: { ...params.respond, maxNewTokens: 1500 } },
    verify: { ...params, verify: { ...params.verify, attempts: 2 } },
  };
  for (const [step, changed] of Object.entries(changes))
    it(`of which ${step} has another parameter and the same data do not run again behind it`, async () => {
      const copy = join(folder, 'other');
      const before = await runAll(params, () => tinyContext(copy, {}));
      const began: string[] = [];
      const after = await runAll(changed, (name) => {
        const info = (_: object, text: string): void => {
          if (text === 'step started') began.push(name);
        };
        return tinyContext(copy, name === step ? engines : {}, { log: { ...silentLog, info } });
      });
      assert.deepEqual(began, [step]);
      for (const name of stepNames) {
        assert.equal(after[name].hash !== before[name].hash, name === step, name);
        assert.equal(after[name].digest, before[name].digest, name);
      }
    });

  it('refuse a wrong parameter of the last step before the first one runs', async () => {
    const copy = join(folder, 'refused');
    const wrong = { ...params, construct: { validationShare: 0.6, testShare: 0.6 } };
    const fail = () => assert.fail('no step may begin');
    await assert.rejects(runAll(wrong, fail), { code: 'PIPELINE_PARAMS', step: 'construct', field: 'params.testShare' });
    await assert.rejects(runAll({ ...params, answer: {} }, fail), { code: 'PIPELINE_PARAMS', message: /answer/ });
    assert.ok(!existsSync(copy));
  });
});

/** The steps' output: without what was downloaded or copied of the data sets. */
function withoutSources(files: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(files).filter(([name]) => !name.includes('source/') && !name.startsWith('cache/')));
}
