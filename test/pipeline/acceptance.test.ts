import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import fc from 'fast-check';
import { PipelineError } from '../../src/pipeline/errors.ts';
import { makeSpec, runStep, type StepOutcome } from '../../src/pipeline/run-step.ts';
import type { StepInput } from '../../src/pipeline/step-identity.ts';
import type { StepDefinition } from '../../src/pipeline/step.ts';
import type { StepManifest } from '../../src/pipeline/workspace/manifest.ts';
import { bounded } from '../scale.ts';
import { leftovers, temporaryFolder } from './files.ts';
import { findOut, listNumbers, soon, toyContext } from './toy-steps.ts';

const count = 30;
const parts = Math.ceil(count / 4);

/** Finds things out, except that `unknown` findings of each part come to nothing; refuses more than `allowed` of them. */
function findSome(unknown: readonly number[], allowed: number, made: string[] = []): StepDefinition<{ each: number }> {
  const definition = findOut(soon);
  return {
    ...definition,
    openParts: () => 1,
    async make(part, work, output, journal) {
      made.push(part.name);
      const counts = await definition.make(part, work, output, journal);
      return { ...counts, unknown: unknown[part.firstQuestion / 4] ?? 0 };
    },
    acceptance: {
      check({ unknown: missing = 0 }) {
        if (missing > allowed) throw new PipelineError('PIPELINE_VERIFIER', `${missing} are missing`, 'ask another', { field: 'allowed' });
      },
      isAtFault: ({ unknown: missing = 0 }) => missing > 0,
    },
  };
}

describe('a step that must be of use as a whole', () => {
  let folder: string;
  let input: StepInput;
  beforeEach(async () => {
    folder = temporaryFolder();
    const outcome = await runStep(listNumbers, makeSpec(listNumbers, { count }, {}), toyContext({ folder, count }));
    assert.ok(outcome.sealed);
    input = outcome.manifest;
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** One shard of it, in a process of its own. */
  function run(definition: StepDefinition<{ each: number }>, each: number, shard = 0, shards = 1): Promise<StepOutcome> {
    const spec = makeSpec(definition, { each }, { convert: { hash: input.hash, digest: input.digest } });
    return runStep(definition, spec, toyContext({ folder, count, shard, shards }));
  }

  /** One shard after the other. @returns what the last one sealed */
  async function all(definition: StepDefinition<{ each: number }>, each: number, shards: readonly number[]): Promise<StepManifest> {
    let last: StepOutcome | undefined;
    for (const shard of shards) last = await run(definition, each, shard, shards.length);
    assert.ok(last?.sealed);
    return last.manifest;
  }

  it('comes to the same end whatever the shards and their order, and to a good one once it has been put right', async () => {
    const order = fc.integer({ min: 1, max: parts }).chain((shards) =>
      fc.shuffledSubarray(
        Array.from({ length: shards }, (_, index) => index),
        { minLength: shards },
      ),
    );
    const unknown = fc.array(fc.nat(3), { minLength: parts, maxLength: parts });
    let each = 0;
    await fc.assert(
      fc.asyncProperty(unknown, fc.nat(2 * parts), order, async (missing, allowed, shards) => {
        each++;
        const outcomes: (StepOutcome | PipelineError)[] = [];
        for (const shard of shards) {
          const outcome = await run(findSome(missing, allowed), each, shard, shards.length).catch((error: unknown) => error);
          if (!(outcome instanceof PipelineError) && outcome instanceof Error) throw outcome;
          outcomes.push(outcome as StepOutcome | PipelineError);
        }
        const refused = outcomes.some((outcome) => outcome instanceof PipelineError);
        const sealed = outcomes.some((outcome) => !(outcome instanceof PipelineError) && outcome.sealed);
        const total = missing.reduce((sum, part) => sum + part, 0);
        assert.deepEqual({ refused, sealed }, { refused: total > allowed, sealed: total <= allowed });
        if (!refused) return;
        // a shard that ran after the refusal may have kept what is allowed
        const mended = await all(findSome([], allowed), each, shards);
        assert.ok((mended.counts['unknown'] ?? 0) <= allowed);
        assert.deepEqual(leftovers(folder), []);
      }),
      bounded(20, 20_000),
    );
  });

  it('ends as soon as the parts that are left cannot make it good, and makes those at fault again, no others', async () => {
    const unknown = [0, 1, 0, 2, 1, 0, 0, 0];
    const [first, second]: [string[], string[]] = [[], []];
    await assert.rejects(run(findSome(unknown, 2, first), 3), { code: 'PIPELINE_VERIFIER', step: 'respond', shard: 0, field: 'allowed' });
    assert.deepEqual(first, ['part-00000', 'part-00001', 'part-00002', 'part-00003']);
    await run(findSome([], 2, second), 3);
    assert.deepEqual(second, ['part-00001', 'part-00003', 'part-00004', 'part-00005', 'part-00006', 'part-00007']);
  });

  it('is refused early also when it takes all shards together to see it', async () => {
    const unknown = [2, 2, 0, 0, 0, 0, 0, 0];
    assert.equal((await run(findSome(unknown, 3), 3, 0, 4)).sealed, false);
    const made: string[] = [];
    await assert.rejects(run(findSome(unknown, 3, made), 3, 1, 4), { code: 'PIPELINE_VERIFIER', shard: 1, message: /4 are missing/ });
    assert.deepEqual(made, ['part-00001']);
  });
});
