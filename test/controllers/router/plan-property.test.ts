import assert from 'node:assert/strict';
import fc from 'fast-check';
import { jobNames } from '../../../src/api/r2rrouter-jobs.ts';
import type { ObservedJob } from '../../../src/controllers/router/index.ts';
import { Scene, spec, type DataOf } from './scene.ts';

/** What may happen between two plans. */
const event = fc.oneof(
  fc.record({ kind: fc.constant('complete' as const), missing: fc.boolean() }),
  fc.record({ kind: fc.constant('fail' as const), retryable: fc.boolean() }),
  fc.record({ kind: fc.constant('corrupt' as const), step: fc.constantFrom(...jobNames.slice(0, 6)) }),
  fc.record({ kind: fc.constant('suspend' as const), on: fc.boolean() }),
  fc.record({
    kind: fc.constant('change' as const),
    field: fc.constantFrom('respond.numItems', 'verify.attempts', 'construct.seed'),
    value: fc.integer({ min: 1, max: 3 }),
  }),
  fc.record({ kind: fc.constant('settings' as const), value: fc.integer({ min: 1, max: 9 }) }),
  fc.record({ kind: fc.constant('wait' as const), seconds: fc.integer({ min: 1, max: 4000 }) }),
  // the operator is killed between what it does and the write of the status
  fc.constant({ kind: 'unwritten' as const }),
  fc.constant({ kind: 'expire' as const }),
  fc.constant({ kind: 'delete' as const }),
);

/** Whether another hash means other data: always, never, or now and then. */
const dataOf = fc.constantFrom<DataOf>(
  (_, hash) => hash.repeat(4),
  (step) => Buffer.from(step.padEnd(32, '-')).toString('hex'),
  (step, hash) => `${Number.parseInt(hash[0] ?? '', 16) % 2}${Buffer.from(step.padEnd(32, '-')).toString('hex').slice(1)}`,
);

/** Plans once and checks what must always hold. */
function step(scene: Scene): void {
  const done = new Set(scene.status.steps?.flatMap(({ hash, digest, name }) => (digest === undefined ? [] : [`${name}-${hash}`])));
  const present = new Set(scene.jobs.map(({ name }) => name));
  const planned = scene.step();
  for (const { step: name, inputs } of planned.create) {
    const record = planned.status.steps!.find((each) => each.name === name)!;
    assert.ok(!done.has(`${name}-${record.hash}`), `${name} is done and made again`);
    for (const input of Object.keys(inputs))
      assert.equal(planned.status.steps!.find((each) => each.name === input)?.state, 'Done', `${name} before ${input}`);
    assert.equal(scene.router.spec.jobs.suspend, false, `${name} is made although suspended`);
  }
  const names = planned.create.map(({ step: name }) => name);
  assert.equal(new Set(names).size, names.length, 'a step is made twice');
  for (const { name } of planned.remove) assert.ok(present.has(name), `${name} is not there`);
  const active = scene.jobs.filter(({ phase, deleting }) => phase === 'Active' && !deleting).map((job) => job.step);
  assert.equal(new Set(active).size, active.length, 'two Jobs of one step run');
}

function apply(scene: Scene, happened: Parameters<Parameters<typeof event.map>[0]>[0]): void {
  const running = scene.jobs.find(({ phase, deleting }) => phase === 'Active' && !deleting);
  const replace = (change: Partial<ObservedJob>) => {
    if (running) scene.jobs = scene.jobs.map((each) => (each === running ? { ...each, ...change } : each));
  };
  switch (happened.kind) {
    case 'complete':
      if (running && happened.missing) replace({ phase: 'Complete', running: false });
      else if (running) scene.complete(running.step);
      break;
    case 'fail':
      if (running) scene.fail(running.step, 'PIPELINE_ENGINE', happened.retryable);
      break;
    case 'corrupt':
      if (running) scene.fail(running.step, 'PIPELINE_PART_CORRUPT', true, { faultyStep: happened.step });
      break;
    case 'suspend':
      scene.change('jobs.suspend', happened.on);
      break;
    case 'change':
      scene.change(`source.pipeline.${happened.field}`, happened.value);
      break;
    case 'settings':
      scene.change('jobs.backoffLimit', happened.value);
      break;
    case 'wait':
      scene.wait(happened.seconds);
      break;
    case 'unwritten': {
      const { status, ...router } = scene.router;
      scene.step();
      scene.router = status ? { ...router, status } : router;
      break;
    }
    case 'expire':
      scene.jobs = scene.jobs.filter(({ phase }) => phase === 'Active');
      break;
    case 'delete':
      replace({ deleting: true });
      break;
  }
}

describe('the plan for a router, whatever happens', () => {
  it('makes no Job twice, none of what is done, none before its inputs, and ends once nothing goes wrong any more', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), dataOf, (events, data) => {
        const scene = new Scene(spec, data);
        for (const happened of events) {
          apply(scene, happened);
          step(scene);
        }
        scene.change('jobs.suspend', false);
        for (let round = 0; round < 60 && scene.status.phase !== 'Ready'; round++) {
          scene.jobs = scene.jobs.filter(({ deleting }) => !deleting);
          scene.wait(3600);
          step(scene);
          for (const job of scene.jobs.filter(({ phase }) => phase === 'Active')) scene.complete(job.step);
        }
        assert.equal(scene.status.phase, 'Ready');
        const made = scene.made.length;
        step(scene);
        scene.jobs = [];
        step(scene);
        assert.equal(scene.made.length, made, 'something is made when all is done');
      }),
      { numRuns: 300 },
    );
  });
});
