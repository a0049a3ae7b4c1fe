import assert from 'node:assert/strict';
import {
  constructParamsSchema,
  continueParamsSchema,
  convertParamsSchema,
  prefillParamsSchema,
  respondParamsSchema,
  verifyParamsSchema,
} from '../../src/pipeline/params.ts';
import { constructStep } from '../../src/pipeline/construct/construct-step.ts';
import { continueStep } from '../../src/pipeline/continue/continue-step.ts';
import { convertStep } from '../../src/pipeline/convert/convert-step.ts';
import { prefillStep } from '../../src/pipeline/prefill/prefill-step.ts';
import { respondStep } from '../../src/pipeline/respond/respond-step.ts';
import { verifyStep } from '../../src/pipeline/verify/verify-step.ts';
import type { JobName } from '../../src/api/r2rrouter-jobs.ts';
import type { R2RRouterSpecInput } from '../../src/api/r2rrouter.ts';
import { stepFormats } from '../../src/api/step-identity.ts';
import type { StepInput } from '../../src/api/step-identity.ts';
import { hashOf, routerSteps, stepInputs } from '../../src/manifests/index.ts';
import { set } from '../api/deployments.ts';
import { storedRouter } from '../api/routers.ts';

const base: R2RRouterSpecInput = {
  preset: 'Qwen3-0.6B+Qwen3-8B',
  models: { claim: 'weights', continuation: { model: 'pvc://weights/other', name: 'other' } },
  source: {
    pipeline: {
      datasets: [
        { preset: 'aime' },
        { name: 'talk', path: 'hf://datasets/org/repo@v1', conversationField: 'turns', filter: { field: 'year', in: [1, 'x'] } },
        { name: 'quiz', path: '/quiz', multipleChoice: { questionField: 'q', optionFields: ['a', 'b'] }, filter: { bespoke: 'qa' } },
        { name: 'own', path: 'pvc://data/q.csv', questionField: 'q', numItems: 5 },
      ],
      respond: { templateVariables: { depth: 3 } },
    },
  },
};

/** Hashes of all steps, each step's data being named by its hash. */
function hashes(change: (spec: object) => void = () => undefined, repetitions = 0): Readonly<Partial<Record<JobName, string>>> {
  const input = structuredClone(base);
  change(input);
  const results = new Map<JobName, StepInput>();
  for (const step of routerSteps(storedRouter('tiny', input).spec, repetitions)) {
    const hash = hashOf(step, results);
    assert.ok(hash !== undefined);
    results.set(step.name, { hash, digest: hash.repeat(4) });
  }
  return Object.fromEntries([...results].map(([name, { hash }]) => [name, hash]));
}

describe('the steps of an R2RRouter', () => {
  const schemas = {
    convert: convertParamsSchema,
    respond: respondParamsSchema,
    prefill: prefillParamsSchema,
    continue: continueParamsSchema,
    verify: verifyParamsSchema,
    construct: constructParamsSchema,
  };
  const steps = routerSteps(storedRouter('tiny', base).spec);

  for (const [name, schema] of Object.entries(schemas)) {
    it(`give ${name} the parameters that its program reads, complete, so that both know it by one hash`, () => {
      const { params } = steps.find((step) => step.name === name)!;
      const parsed: unknown = schema.parse(params);
      if (name === 'convert') {
        // the program knows what a preset stands for
        const entries = (parsed as { datasets: unknown[] }).datasets;
        assert.deepEqual(entries, params.datasets);
      } else assert.deepEqual(parsed, params);
    });
  }

  for (const { name, format, inputs } of [convertStep, respondStep, prefillStep, continueStep, verifyStep, constructStep]) {
    it(`know ${name} by the format and the inputs that its program has`, () => {
      assert.deepEqual([stepFormats[name], stepInputs[name]], [format, inputs]);
    });
  }

  it('ask the model that is to continue, and no other, for continuations', () => {
    const { params } = steps.find(({ name }) => name === 'continue')!;
    assert.deepEqual(params.models, { slm: { name: 'Qwen/Qwen3-0.6B' }, llm: { name: 'other' } });
  });

  const order: readonly JobName[] = ['convert', 'respond', 'prefill', 'continue', 'verify', 'construct', 'train', 'bundle'];
  const changes: readonly (readonly [string, unknown, JobName | undefined])[] = [
    ['source.pipeline.generation', 1, 'convert'],
    ['source.pipeline.respond.maxNewTokens', 100, 'respond'],
    ['models.llm.revision', 'v2', 'respond'],
    ['specialTokens.thinkEnd', '[end]', 'respond'],
    ['source.pipeline.prefill.topCount', 50, 'prefill'],
    ['source.pipeline.continue.maxNewTokens', 64, 'continue'],
    ['models.continuation.name', 'third', 'continue'],
    ['source.pipeline.verify.attempts', 5, 'verify'],
    ['models.verifier.name', 'judge', 'verify'],
    ['source.pipeline.construct.seed', 7, 'construct'],
    ['training.epochs', 3, 'train'],
    ['jobs.image', 'other:1', undefined],
    ['jobs.steps.respond.shards', 8, undefined],
    ['jobs.steps.respond.concurrency', 8, undefined],
    ['models.llm.image', 'other:1', undefined],
    ['models.llm.url', 'http://other:1', undefined],
    ['models.llm.tensorParallelSize', 4, undefined],
    ['training.gpus', 8, undefined],
    ['gate.minRecall', 0.5, undefined],
    ['storage.workspace.size', '1Ti', undefined],
  ];
  const before = hashes();
  for (const [path, value, first] of changes) {
    it(`${first ? `run again from ${first} on` : 'stay as they are'} when ${path} changes`, () => {
      const after = hashes((spec) => set(spec, path, value));
      const changed = order.filter((name) => after[name] !== before[name]);
      assert.deepEqual(changed, first ? order.slice(order.indexOf(first)) : []);
    });
  }

  it('begin anew when a schedule has the data sets read again', () => {
    assert.notEqual(hashes(undefined, 1).convert, before.convert);
  });

  it('stay when a model of the same name moves to another folder', () => {
    assert.deepEqual(
      hashes((spec) => set(spec, 'models.slm', { model: '/elsewhere', name: 'Qwen/Qwen3-0.6B' })),
      before,
    );
  });
});
