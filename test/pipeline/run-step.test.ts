import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, rmSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { z } from 'zod';
import { exitCodeOf, failureMessage, outcomeMessage, terminationText } from '../../src/pipeline/outcome.ts';
import { PipelineError } from '../../src/pipeline/errors.ts';
import { makeSpec, runStep, type StepOutcome } from '../../src/pipeline/run-step.ts';
import { stepFolderName, stepHash, type StepSpec } from '../../src/pipeline/step-identity.ts';
import { FinishedStep } from '../../src/pipeline/step-reader.ts';
import { table } from '../../src/pipeline/table.ts';
import { Workspace } from '../../src/pipeline/workspace/workspace.ts';
import { finishedFiles, leftovers, temporaryFolder } from './files.ts';
import { MortalFileSystem } from './mortal-file-system.ts';
import { findOut, listNumbers, runToy, soon, toyContext, toySpec } from './toy-steps.ts';

const count = 30;
const numbers = table({ data_id: 'int64', text: 'string' });

function manifestOf(outcome: StepOutcome) {
  assert.ok(outcome.sealed);
  return outcome.manifest;
}

/** All but which shard made a part, which is the only thing that may differ. */
function data(folder: string): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(finishedFiles(folder)).filter(([name]) => !name.includes('/parts/')));
}

describe('a step', () => {
  let folder: string;
  beforeEach(() => (folder = temporaryFolder()));
  afterEach(() => rmSync(folder, { recursive: true }));
  const at = (...names: string[]): string => join(folder, ...names);

  it('gives the same files whatever the number of shards and their order', async () => {
    const whole = manifestOf(await runToy({ folder: at('whole'), count }));
    assert.equal(whole.parts.length, 8);
    assert.deepEqual(whole.rows, { even: 45, odd: 45 });
    assert.deepEqual(whole.counts, { findings: 90, odd: 45 });
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 9 }), fc.infiniteStream(fc.nat()), async (shards, ranks) => {
        const order = Array.from({ length: shards }, (_, shard) => ({ shard, rank: ranks.next().value as number })).sort(
          (a, b) => a.rank - b.rank,
        );
        for (const [index, { shard }] of order.entries()) {
          const outcome = await runToy({ folder: at('sharded'), count, shards, shard });
          const left = order.slice(index + 1).some((later) => later.shard < 8);
          assert.equal(outcome.sealed, !left);
        }
        assert.deepEqual(data(at('sharded')), data(at('whole')));
        rmSync(at('sharded'), { recursive: true });
      }),
      { numRuns: 8, seed: 11 },
    );
  });

  it('may run at the same time in two pods of one shard, and in all shards', async () => {
    await runToy({ folder: at('whole'), count });
    await runStep(listNumbers, makeSpec(listNumbers, { count }, {}), toyContext({ folder: at('busy'), count }));
    const runs = [0, 1, 2, 0, 1, 2].map((shard) => runToy({ folder: at('busy'), count, shards: 3, shard }));
    const outcomes = await Promise.all(runs);
    assert.ok(outcomes.some(({ sealed }) => sealed));
    assert.deepEqual(data(at('busy')), data(at('whole')));
    assert.deepEqual(leftovers(at('busy')), []);
  });

  it('that is done is not done again', async () => {
    const first = manifestOf(await runToy({ folder, count }));
    const again = await runToy({ folder, count, request: () => Promise.reject(new Error('nothing is to be asked')) });
    assert.deepEqual(again, { sealed: true, manifest: first, found: true });
  });

  it('is named by its parameters with their defaults, its inputs and its format', () => {
    const definition = findOut(soon);
    const inputs = { convert: { hash: '0'.repeat(16), digest: 'd' } };
    const hash = (params: object, changed: object = {}) => stepHash({ ...makeSpec(definition, params, inputs), ...changed });
    assert.equal(hash({}), hash({ each: 3 }));
    assert.match(hash({}), /^[0-9a-f]{16}$/);
    assert.notEqual(hash({}), hash({ each: 4 }));
    assert.notEqual(hash({}), hash({}, { format: 3 }));
    assert.notEqual(hash({}), hash({}, { inputs: { convert: { hash: '0'.repeat(16), digest: 'e' } } }));
    assert.equal(hash({}), hash({}, { inputs: { convert: { hash: '1'.repeat(16), digest: 'd' } } }));
    // changes of it would make every finished step run again
    assert.equal(hash({}), '03749f421df8227e');
  });

  it('reads the questions it is asked for, and the columns', async () => {
    const made = await runStep(listNumbers, makeSpec(listNumbers, { count }, {}), toyContext({ folder, count }));
    const manifest = manifestOf(made);
    const reader = new FinishedStep(new Workspace(folder), at(stepFolderName('convert', manifest.hash)), manifest);
    assert.deepEqual(
      reader.parts(7, 9).map(({ name }) => name),
      ['part-00000', 'part-00001'],
    );
    const rows: unknown[] = [];
    for await (const row of reader.rows('numbers', numbers, { from: 7, to: 9 })) rows.push(row);
    assert.deepEqual(rows, [
      { data_id: 7, text: 'number 7' },
      { data_id: 8, text: 'number 8' },
    ]);
  });

  it('goes on with the same data from another folder, and leaves the same bytes', async () => {
    await runToy({ folder: at('whole'), count });
    const moved = at('moved');
    const made = manifestOf(await runStep(listNumbers, makeSpec(listNumbers, { count }, {}), toyContext({ folder: moved, count })));
    const { hash, digest } = made;
    const run = (spec: StepSpec, shard: number) => runStep(findOut(soon), spec, toyContext({ folder: moved, count, shards: 2, shard }));
    assert.equal((await run(toySpec(hash, digest), 0)).sealed, false);
    // no folder has this hash, and there is one with this data
    const other = toySpec('0'.repeat(16), digest);
    assert.equal(stepHash(other), stepHash(toySpec(hash, digest)));
    assert.equal((await run(other, 1)).sealed, true);
    assert.deepEqual(data(moved), data(at('whole')));
  });

  it('refuses a folder whose step.json is of another step', async () => {
    const made = manifestOf(await runToy({ folder, count }));
    const path = at(stepFolderName('respond', made.hash), 'step.json');
    for (const text of [readFileSync(path, 'utf8').replace('"each":3', '"each":4'), 'no JSON']) {
      writeFileSync(path, text);
      await assert.rejects(runToy({ folder, count }), { code: 'PIPELINE_SPEC', step: 'respond', file: path });
    }
  });

  describe('whose input is damaged', () => {
    const damages: Readonly<Record<string, (path: string) => void>> = {
      'by a changed byte': (path) => {
        const bytes = readFileSync(path);
        bytes[20] = (bytes[20] ?? 0) ^ 1;
        writeFileSync(path, bytes);
      },
      'by its end missing': (path) => truncateSync(path, 100),
      'by a file missing': (path) => unlinkSync(path),
    };
    for (const [damage, inflict] of Object.entries(damages))
      it(`${damage} names step, shard and file, and mends it when that step runs again`, async () => {
        await runToy({ folder: at('whole'), count });
        const spec = makeSpec(listNumbers, { count }, {});
        const made = manifestOf(await runStep(listNumbers, spec, toyContext({ folder: at('damaged'), count })));
        const path = at('damaged', stepFolderName('convert', made.hash), 'data', 'part-00002.parquet');
        inflict(path);
        const reading = toySpec(made.hash, made.digest);
        const failing = runStep(findOut(soon), reading, toyContext({ folder: at('damaged'), count, shards: 4, shard: 1 }));
        const error: unknown = await failing.then(
          () => undefined,
          (failure: unknown) => failure,
        );
        assert.ok(error instanceof PipelineError);
        assert.deepEqual(
          { code: error.code, step: error.step, shard: error.shard, file: error.file },
          { code: 'PIPELINE_PART_CORRUPT', step: 'convert', shard: 0, file: path },
        );
        assert.match(error.message, /run step convert again/);
        const message = failureMessage(reading, { index: 1, count: 4 }, error);
        assert.equal(exitCodeOf(message), 1);
        assert.ok(!message.ok && message.faultyStep === 'convert');
        // only that part is made again
        const before = readdirSync(at('damaged', stepFolderName('convert', made.hash), 'parts'));
        assert.equal(before.length, 3);
        await runToy({ folder: at('damaged'), count });
        assert.deepEqual(data(at('damaged')), data(at('whole')));
      });
  });

  it('on a full disk says so, and goes on when there is room', async () => {
    await runToy({ folder: at('whole'), count });
    let refusals = 0;
    for (let capacityBytes = 0; ; capacityBytes += 1500) {
      const run = { folder: at('full'), count, fileSystem: new MortalFileSystem({ capacityBytes }) };
      const error: unknown = await runToy(run).then(
        () => undefined,
        (failure: unknown) => failure,
      );
      if (error === undefined) break;
      assert.ok(error instanceof PipelineError);
      assert.equal(error.code, 'PIPELINE_NO_SPACE');
      assert.ok(error.retryable && error.shard === 0 && error.file !== undefined);
      assert.match(error.message, /the workspace is full; enlarge its claim/);
      refusals++;
    }
    assert.ok(refusals > 3);
    assert.deepEqual(finishedFiles(at('full')), finishedFiles(at('whole')));
    assert.deepEqual(leftovers(at('full')), []);
  });

  it('stops the rest at the first failure, which names step and shard', async () => {
    const request = (key: string): Promise<void> =>
      key === '5/1' ? Promise.reject(new PipelineError('PIPELINE_ENGINE', 'it is gone', 'look for it')) : Promise.resolve();
    const failing = runToy({ folder, count, shards: 2, shard: 1, request });
    await assert.rejects(failing, {
      code: 'PIPELINE_ENGINE',
      step: 'respond',
      shard: 1,
      message: 'step respond, shard 1: it is gone; look for it',
    });
  });

  it('refuses wrong parameters, inputs and formats before it writes anything', async () => {
    const context = toyContext({ folder, count });
    assert.throws(() => makeSpec(listNumbers, { count: 0 }, {}), { code: 'PIPELINE_PARAMS', field: 'params.count', retryable: false });
    assert.throws(() => makeSpec(listNumbers, { count: 1, size: 2 }, {}), { code: 'PIPELINE_PARAMS' });
    const spec = toySpec('0'.repeat(16), 'd');
    await assert.rejects(runStep(findOut(soon), spec, context), { code: 'PIPELINE_INPUT_MISSING', step: 'convert' });
    await assert.rejects(runStep(findOut(soon), { ...spec, format: 1 }, context), { code: 'PIPELINE_SPEC', step: 'respond' });
    const needsEngine = { ...listNumbers, engines: ['llm'] as const };
    const failing = runStep(needsEngine, makeSpec(needsEngine, { count }, {}), context);
    await assert.rejects(failing, { code: 'PIPELINE_PARAMS', field: 'engines.llm' });
    const made = manifestOf(await runStep(listNumbers, makeSpec(listNumbers, { count }, {}), context));
    const other = runStep(findOut(soon), toySpec(made.hash, 'another digest'), context);
    await assert.rejects(other, { code: 'PIPELINE_INPUT_MISSING', message: /its data is .* and another digest was expected/ });
  });

  it('leaves last words that fit where a kubelet keeps them', async () => {
    const outcome = await runToy({ folder, count });
    const spec = toySpec('0'.repeat(16), 'd');
    const said = z.looseObject({ sealed: z.boolean(), counts: z.record(z.string(), z.number()) });
    const last = said.parse(JSON.parse(terminationText(outcomeMessage(spec, { index: 0, count: 1 }, outcome))));
    assert.deepEqual(last.counts, { findings: 90, odd: 45 });
    const long = new PipelineError('PIPELINE_COLUMN', `"ö\n${'\u0001ü'.repeat(3000)}`, 'name another column', { field: 'question' });
    const text = terminationText(failureMessage(spec, { index: 0, count: 1 }, long));
    assert.ok(Buffer.byteLength(text) <= 4096);
    const cut = z.looseObject({ fix: z.string(), code: z.string(), retryable: z.boolean() }).parse(JSON.parse(text));
    assert.deepEqual([cut.code, cut.fix, cut.retryable], ['PIPELINE_COLUMN', 'name another column', false]);
  });
});

describe('a workspace', () => {
  let folder: string;
  beforeEach(() => (folder = temporaryFolder()));
  afterEach(() => rmSync(folder, { recursive: true }));

  it('lists and removes its steps', async () => {
    await runToy({ folder, count });
    const workspace = new Workspace(folder);
    const steps = await workspace.steps();
    assert.deepEqual(
      steps.map(({ step, manifest }) => [step, manifest?.rows]),
      [
        ['convert', { numbers: 30 }],
        ['respond', { even: 45, odd: 45 }],
      ],
    );
    const [, last] = steps;
    assert.ok(last);
    await workspace.remove(last.step, last.hash);
    assert.equal((await workspace.steps()).length, 1);
    assert.ok(!existsSync(last.folder));
  });
});
