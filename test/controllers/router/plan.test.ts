import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { jobNames } from '../../../src/api/r2rrouter-jobs.ts';
import type { JobName } from '../../../src/api/r2rrouter-jobs.ts';
import type { R2RRouterSpecInput } from '../../../src/api/r2rrouter.ts';
import type { ObservedJob } from '../../../src/controllers/router/index.ts';
import { Scene, spec, start } from './scene.ts';

describe('the plan for a router', () => {
  it('makes one Job after the other, and offers the bundle at the end', () => {
    const scene = new Scene();
    scene.step();
    assert.deepEqual(scene.since(0), ['convert']);
    assert.equal(scene.status.phase, 'Pending');
    scene.finish();
    assert.deepEqual(scene.since(0), [...jobNames]);
    assert.equal(scene.status.phase, 'Ready');
    assert.equal(scene.condition('Ready')?.status, 'True');
    assert.equal(scene.condition('Reconciling')?.status, 'False');
    assert.deepEqual(scene.status.summary, { recall: '97.0%', positiveRate: '10.0%' });
    assert.equal(scene.status.bundle?.digest, scene.status.history?.[0]?.digest);
  });

  it('makes nothing when there is nothing to do, whether or not the Jobs are still there', () => {
    const scene = new Scene();
    scene.finish();
    const made = scene.made.length;
    for (const jobs of [scene.jobs, []]) {
      scene.jobs = jobs;
      const { create, remove, status } = scene.look();
      assert.deepEqual([create, remove], [[], []]);
      assert.deepEqual(status, scene.status, 'an unchanged status is not equal');
    }
    assert.equal(scene.made.length, made);
  });

  const changes: readonly (readonly [string, unknown, JobName | undefined])[] = [
    ['source.pipeline.generation', 2, 'convert'],
    ['source.pipeline.continue.maxNewTokens', 9, 'continue'],
    ['training.epochs', 9, 'train'],
    ['jobs.backoffLimit', 9, undefined],
    ['jobs.steps.respond.shards', 9, undefined],
  ];
  for (const [path, value, first] of changes) {
    it(`runs ${first ? `${first} again, with all that depends on it,` : 'nothing again'} when ${path} changes`, () => {
      const scene = new Scene();
      scene.finish();
      const made = scene.made.length;
      scene.change(path, value);
      scene.finish();
      const expected = first ? jobNames.slice(jobNames.indexOf(first)) : [];
      assert.deepEqual(scene.since(made), expected);
      assert.equal(scene.status.phase, 'Ready');
    });
  }

  it('runs a step again whose parameter changes, and nothing behind it when its data is what it was', () => {
    const scene = new Scene(spec, (step) => createHash('sha256').update(step).digest('hex'));
    scene.finish();
    const [made, bundle] = [scene.made.length, scene.status.bundle];
    scene.change('source.pipeline.respond.maxNewTokens', 999);
    scene.step();
    assert.deepEqual([scene.state('respond'), scene.state('prefill'), scene.state('bundle')], ['Pending', 'Waiting', 'Waiting']);
    scene.finish();
    assert.deepEqual(scene.since(made), ['respond']);
    assert.equal(scene.status.phase, 'Ready');
    assert.deepEqual(scene.status.bundle, bundle);
  });

  it('takes the Job of a step that is no longer wanted away, and makes the new one at once', () => {
    const scene = new Scene();
    scene.step();
    const old = scene.job('convert');
    scene.change('source.pipeline.generation', 1);
    const { remove, create } = scene.step();
    assert.deepEqual(
      remove.map(({ uid }) => uid),
      [old.uid],
    );
    assert.equal(create.length, 1);
  });

  it('goes on where it was after a lost status: the Jobs that are there count', () => {
    const scene = new Scene();
    scene.step();
    scene.complete('convert');
    const { status: _, ...router } = scene.router;
    scene.router = router;
    scene.step();
    assert.deepEqual(scene.since(0), ['convert', 'respond']);
  });

  it('waits until a Job that is being deleted is gone', () => {
    const scene = new Scene();
    scene.step();
    scene.fail('convert', 'PIPELINE_ENGINE', true);
    scene.set('convert', { deleting: true });
    scene.wait(100_000);
    const { create, remove, status } = scene.look();
    assert.deepEqual([create, remove, status.steps?.[0]?.state], [[], [], 'Pending']);
    scene.jobs = [];
    scene.step();
    assert.deepEqual(scene.since(0), ['convert', 'convert']);
  });

  it('asks a step again that is complete but whose pods are gone with its result', () => {
    const scene = new Scene();
    scene.step();
    scene.set('convert', { phase: 'Complete', running: false });
    const { remove } = scene.step();
    assert.deepEqual(remove, []);
    assert.equal(scene.state('convert'), 'Retrying');
    scene.wait(60);
    scene.step();
    scene.step();
    assert.deepEqual(scene.since(0), ['convert', 'convert']);
  });

  describe('that is suspended', () => {
    it('takes running Jobs away, makes none, and later goes on with the same step', () => {
      const scene = new Scene();
      scene.step();
      scene.complete('convert');
      scene.step();
      scene.change('jobs.suspend', true);
      scene.step();
      scene.step();
      assert.deepEqual(
        scene.jobs.filter(({ phase }) => phase === 'Active'),
        [],
      );
      assert.equal(scene.status.phase, 'Suspended');
      assert.equal(scene.condition('JobsReady')?.reason, 'Suspended');
      scene.change('jobs.suspend', false);
      scene.step();
      assert.deepEqual(scene.since(0), ['convert', 'respond', 'respond']);
    });
  });

  describe('whose step fails', () => {
    const fail = (code: string, retryable: boolean) => {
      const scene = new Scene();
      scene.step();
      scene.fail('convert', code, retryable, { field: 'question', shard: 0 });
      scene.step();
      return scene;
    };

    it('says which one, why and where, and tries nothing again that needs a person', () => {
      const scene = fail('PIPELINE_COLUMN', false);
      assert.equal(scene.status.phase, 'Failed');
      const stalled = scene.condition('Stalled');
      assert.deepEqual([stalled?.status, stalled?.reason], ['True', 'PipelineColumn']);
      assert.match(stalled?.message ?? '', /^step convert: PIPELINE_COLUMN happened/);
      const { failure } = scene.status.steps![0]!;
      assert.deepEqual([failure?.field, failure?.shard], ['question', 0]);
      scene.wait(100_000);
      scene.step();
      scene.jobs = [];
      scene.step();
      assert.deepEqual(scene.since(0), ['convert']);
    });

    it('tries it again once the spec has changed, whatever changed in it', () => {
      const scene = fail('PIPELINE_COLUMN', false);
      scene.change('jobs.backoffLimit', 7);
      scene.step();
      scene.step();
      assert.deepEqual(scene.since(0), ['convert', 'convert']);
      assert.equal(scene.state('convert'), 'Pending');
    });

    it('tries what may pass again by itself, later each time', () => {
      const scene = fail('PIPELINE_NO_SPACE', true);
      assert.equal(scene.state('convert'), 'Retrying');
      assert.equal(scene.condition('Stalled')?.status, 'False');
      assert.equal(scene.look().atMs, start.getTime() + 60_000);
      scene.wait(59);
      scene.step();
      assert.equal(scene.made.length, 1);
      scene.wait(1);
      scene.step();
      scene.step();
      assert.equal(scene.made.length, 2);
      scene.fail('convert', 'PIPELINE_NO_SPACE', true);
      scene.step();
      assert.equal(scene.look().atMs, scene.now.getTime() + 120_000);
    });

    const reasons: readonly (readonly [string, Partial<ObservedJob>, string, string])[] = [
      ['a Job took too long', { failedBecause: 'DeadlineExceeded' }, 'DeadlineExceeded', 'Failed'],
      [
        'a pod had too little memory',
        { failedBecause: 'BackoffLimitExceeded', problem: { reason: 'OOMKilled', message: 'killed' } },
        'OOMKilled',
        'Failed',
      ],
      ['a pod crashed without a word', { failedBecause: 'BackoffLimitExceeded' }, 'BackoffLimitExceeded', 'Retrying'],
      [
        'the trainer refuses its configuration',
        { failedBecause: 'PodFailurePolicy', messages: [{ ok: false, code: 'CONFIG_INVALID', message: 'no', retryable: false }] },
        'CONFIG_INVALID',
        'Failed',
      ],
    ];
    for (const [what, job, code, state] of reasons) {
      it(`tells ${code} when ${what}`, () => {
        const scene = new Scene();
        scene.step();
        scene.set('convert', { phase: 'Failed', running: false, ...job });
        scene.step();
        assert.equal(scene.status.steps?.[0]?.failure?.code, code);
        assert.equal(scene.state('convert'), state);
      });
    }

    describe('in training', () => {
      const training = () => {
        const scene = new Scene({ source: { labels: { path: 'pvc://data/labels' } }, models: { slm: { model: '/slm' } } });
        scene.step();
        return scene;
      };

      it('goes on with the same hash, so that the state in its folder is found, after a defect that may pass', () => {
        const scene = training();
        scene.fail('train', 'TRAINER_DEFECT', true);
        scene.step();
        assert.equal(scene.state('train'), 'Retrying');
        scene.wait(60);
        scene.step();
        scene.step();
        assert.deepEqual([scene.made.length, scene.made[0]], [2, scene.made[1]]);
      });

      it('waits for a person after a lack of memory, and goes on with the same hash once there is more', () => {
        const scene = training();
        const problem = { reason: 'OOMKilled', message: 'it was killed for memory' };
        scene.set('train', { phase: 'Failed', running: false, failedBecause: 'BackoffLimitExceeded', problem });
        scene.step();
        assert.equal(scene.condition('Stalled')?.reason, 'OOMKilled');
        scene.wait(100_000);
        scene.step();
        assert.equal(scene.made.length, 1);
        scene.change('jobs.steps.train.resources', { limits: { memory: '64Gi' } });
        scene.step();
        scene.step();
        assert.deepEqual([scene.made.length, scene.made[0]], [2, scene.made[1]]);
      });

      it('is known by the digest of what it made, and asks again where nobody heard it', () => {
        const scene = training();
        const { hash } = scene.job('train');
        scene.set('train', { phase: 'Complete', running: false });
        scene.step();
        assert.equal(scene.status.steps?.[0]?.failure?.code, 'ResultMissing');
        scene.wait(60);
        scene.step();
        scene.step();
        scene.complete('train');
        scene.step();
        assert.equal(scene.status.steps[0].digest, hash.repeat(4));
        assert.deepEqual(scene.since(0), ['train', 'train', 'bundle']);
      });
    });

    it('runs a step again whose data another one found damaged, and then goes on, with nothing else run again', () => {
      const scene = new Scene();
      for (const step of ['convert', 'respond', 'prefill'] as const) {
        scene.step();
        scene.complete(step);
      }
      scene.step();
      const made = scene.made.length;
      scene.fail('continue', 'PIPELINE_PART_CORRUPT', true, { faultyStep: 'respond' });
      scene.step();
      assert.deepEqual([scene.state('respond'), scene.state('prefill')], ['Retrying', 'Waiting']);
      assert.equal(scene.status.steps?.find(({ name }) => name === 'respond')?.failure?.code, 'PIPELINE_PART_CORRUPT');
      scene.step();
      scene.complete('respond');
      scene.step();
      assert.deepEqual(scene.since(made), ['respond', 'continue']);
      assert.equal(scene.state('prefill'), 'Done');
    });
  });

  describe('whose label set is damaged', () => {
    const until = (last: JobName) => {
      const scene = new Scene();
      for (const step of jobNames) {
        scene.step();
        if (step === last) break;
        scene.complete(step);
      }
      return scene;
    };

    for (const [code, retryable] of [
      ['PIPELINE_PART_CORRUPT', true],
      ['PIPELINE_INPUT_MISSING', false],
    ] as const)
      it(`constructs it again where train says ${code}, then trains`, () => {
        const scene = until('train');
        const [made, { hash }] = [scene.made.length, scene.job('train')];
        scene.fail('train', code, retryable, { faultyStep: 'construct' });
        scene.step();
        assert.deepEqual([scene.state('construct'), scene.state('train')], ['Retrying', 'Waiting']);
        scene.step();
        scene.complete('construct');
        scene.step();
        assert.deepEqual(scene.since(made), ['construct', 'train']);
        assert.equal(scene.job('train').hash, hash, 'it goes on where it was: the data is the same');
        scene.finish();
        assert.deepEqual(scene.since(made), ['construct', 'train', 'bundle']);
        assert.equal(scene.status.phase, 'Ready');
      });

    // The trainer has checked every file before it trained, so that what is damaged was so later: the network is that of the right rows, which
    // the construct step makes again to the byte.
    it('constructs it again where bundle says so, and does not train again', () => {
      const scene = until('bundle');
      const made = scene.made.length;
      scene.fail('bundle', 'PIPELINE_PART_CORRUPT', true, { faultyStep: 'construct' });
      scene.step();
      assert.deepEqual([scene.state('construct'), scene.state('train')], ['Retrying', 'Waiting']);
      scene.finish();
      assert.deepEqual(scene.since(made), ['construct', 'bundle']);
      assert.equal(scene.status.phase, 'Ready');
    });
  });

  describe('whose pods find no room', () => {
    const wait = (startDeadlineSeconds?: number) => {
      const scene = new Scene({ ...spec, jobs: startDeadlineSeconds === undefined ? {} : { startDeadlineSeconds } });
      scene.step();
      const problem = { reason: 'InsufficientCapacity', message: '0/1 nodes: Insufficient nvidia.com/gpu' };
      scene.set('convert', { running: false, waitingSinceMs: start.getTime(), problem });
      scene.step();
      return scene;
    };

    it('says so, and waits for ever without a deadline', () => {
      const scene = wait();
      assert.equal(scene.condition('JobsReady')?.reason, 'InsufficientCapacity');
      scene.wait(1_000_000);
      scene.step();
      assert.equal(scene.state('convert'), 'Pending');
    });

    it('takes the Job away after the deadline, and tries again only when the spec changes', () => {
      const scene = wait(600);
      assert.equal(scene.look().atMs, start.getTime() + 600_000);
      scene.wait(600);
      scene.step();
      assert.deepEqual(scene.jobs, []);
      scene.step();
      assert.equal(scene.condition('Stalled')?.reason, 'StartDeadlineExceeded');
      assert.match(scene.condition('Stalled')?.message ?? '', /Insufficient nvidia\.com\/gpu/);
      assert.equal(scene.made.length, 1);
      scene.change('jobs.startDeadlineSeconds', 1200);
      scene.step();
      assert.equal(scene.made.length, 2);
    });
  });

  describe('with a gate', () => {
    const until = (input: Partial<R2RRouterSpecInput>, result: { recall: number; positiveRate: number }) => {
      const scene = new Scene({ ...spec, ...input });
      for (const step of jobNames) {
        scene.step();
        scene.complete(step, result);
      }
      scene.step();
      return scene;
    };

    it('refuses a router that misses too much, and takes it when the gate is lowered, without a Job', () => {
      const scene = until({}, { recall: 0.9, positiveRate: 0.1 });
      assert.equal(scene.status.phase, 'Refused');
      assert.equal(scene.condition('GatePassed')?.reason, 'RecallTooLow');
      assert.equal(scene.condition('Ready')?.status, 'False');
      assert.equal(scene.status.bundle, undefined);
      const told = () => [scene.condition('Stalled')?.status, scene.condition('Stalled')?.reason];
      assert.deepEqual(told(), ['True', 'RecallTooLow']);
      const made = scene.made.length;
      scene.change('gate.minRecall', 0.85);
      scene.step();
      assert.equal(scene.status.phase, 'Ready');
      assert.deepEqual(told(), ['False', 'NoProblem']);
      assert.equal(scene.made.length, made);
    });

    it('is stalled while rollout.bundle names a bundle that is not there', () => {
      const scene = until({ rollout: { bundle: 'f'.repeat(64) } }, { recall: 0.97, positiveRate: 0.1 });
      assert.deepEqual([scene.status.phase, scene.condition('Stalled')?.reason], ['Refused', 'NoBundle']);
    });

    it('goes on offering a bundle that a stricter gate would refuse by now, not an older one', () => {
      const scene = until({}, { recall: 0.951, positiveRate: 0.1 });
      scene.change('training.epochs', 3);
      for (const step of ['train', 'bundle'] as const) {
        scene.step();
        scene.complete(step, { recall: 0.96, positiveRate: 0.1 });
      }
      scene.step();
      const second = scene.status.bundle?.digest;
      assert.equal(scene.status.history?.length, 2);
      scene.change('gate.minRecall', 0.97);
      scene.step();
      assert.equal(scene.status.phase, 'Refused');
      assert.equal(scene.status.bundle?.digest, second);
      scene.change('training.epochs', 4);
      for (const step of ['train', 'bundle'] as const) {
        scene.step();
        scene.complete(step, { recall: 0.965, positiveRate: 0.1 });
      }
      scene.step();
      assert.equal(scene.status.bundle?.digest, second);
    });

    it('keeps the bundle that is offered in the history, however many are refused after it', () => {
      const scene = until({ storage: { bundles: { keep: 1 } } }, { recall: 0.97, positiveRate: 0.1 });
      const offered = scene.status.bundle?.digest;
      for (const epochs of [3, 4]) {
        scene.change('training.epochs', epochs);
        for (const step of ['train', 'bundle'] as const) {
          scene.step();
          scene.complete(step, { recall: 0.5, positiveRate: 0.1 });
        }
        scene.step();
      }
      assert.equal(scene.status.bundle?.digest, offered);
      assert.equal(scene.status.history?.length, 2);
    });

    it('offers nothing by itself where bundles are rolled out by hand', () => {
      const scene = until({ rollout: { policy: 'Manual' } }, { recall: 0.97, positiveRate: 0.1 });
      assert.deepEqual([scene.status.phase, scene.status.bundle, scene.condition('Ready')?.status], ['Refused', undefined, 'False']);
      assert.match(scene.condition('Ready')?.message ?? '', /name a bundle of status.history in rollout.bundle/);
      assert.equal(scene.condition('Stalled')?.status, 'False', 'a person has yet to choose');
      scene.change('rollout.bundle', scene.status.history?.[0]?.digest);
      scene.step();
      assert.equal(scene.status.phase, 'Ready');
    });

    it('goes on offering the bundle before while a new one is refused, and goes back to one that is named', () => {
      const scene = until({ gate: { maxPositiveRate: 0.2 } }, { recall: 0.97, positiveRate: 0.1 });
      const first = scene.status.bundle!.digest;
      scene.change('training.epochs', 3);
      scene.step();
      scene.step();
      assert.equal(scene.status.bundle?.digest, first);
      scene.complete('train');
      scene.step();
      scene.complete('bundle', { recall: 0.97, positiveRate: 0.3 });
      scene.step();
      assert.equal(scene.status.phase, 'Refused');
      assert.equal(scene.condition('GatePassed')?.reason, 'PositiveRateTooHigh');
      assert.equal(scene.condition('Ready')?.status, 'True');
      assert.equal(scene.condition('Stalled')?.status, 'False');
      assert.equal(scene.status.bundle.digest, first);
      assert.deepEqual(
        scene.status.history?.map(({ gate }) => gate),
        ['Refused', 'Passed'],
      );
      scene.change('rollout.bundle', scene.status.history[0]!.digest);
      scene.step();
      assert.notEqual(scene.status.bundle.digest, first);
    });
  });

  describe('with a schedule', () => {
    it('reads the data sets again each period, not while a run is under way, and after a lost status not anew', () => {
      const scene = new Scene({ ...spec, schedule: { everyHours: 24 } });
      scene.finish();
      assert.equal(scene.look().atMs, start.getTime() + 86_400_000);
      scene.wait(86_400);
      const made = scene.made.length;
      scene.step();
      assert.deepEqual(scene.since(made), ['convert']);
      scene.wait(86_400);
      scene.step();
      assert.deepEqual(scene.since(made), ['convert']);
      assert.equal(scene.status.schedule?.runs, 1);
    });

    it('keeps what was read last when the schedule goes, and counts a new period from there', () => {
      const scene = new Scene({ ...spec, schedule: { everyHours: 24 } });
      scene.finish();
      for (let day = 0; day < 3; day++) {
        scene.wait(86_400);
        scene.finish();
      }
      const made = scene.made.length;
      const bundle = scene.status.bundle?.digest;
      scene.change('schedule', undefined);
      scene.finish();
      assert.deepEqual([scene.made.length, scene.status.bundle?.digest], [made, bundle]);
      scene.change('schedule', { everyHours: 168, suspend: false });
      assert.equal(scene.look().atMs, start.getTime() + (3 * 24 + 168) * 3_600_000);
    });

    it('waits for nothing while a run is under way or all is suspended', () => {
      const scene = new Scene({ ...spec, schedule: { everyHours: 1 } });
      scene.step();
      scene.wait(7200);
      assert.equal(scene.look().atMs, undefined);
      scene.finish();
      scene.change('jobs.suspend', true);
      scene.wait(7200);
      scene.step();
      assert.equal(scene.look().atMs, undefined);
    });
  });
});
