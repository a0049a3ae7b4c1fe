import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { stepLabels } from '../../../src/api/r2rrouter-names.ts';
import { observeJob } from '../../../src/controllers/router/index.ts';
import { readTermination } from '../../../src/controllers/router/termination.ts';
import type { Live } from '../../../src/kube/index.ts';
import type { Job, Pod } from '../../../src/kube/resources.ts';
import { failureMessage, outcomeMessage, terminationText } from '../../../src/pipeline/outcome.ts';
import { PipelineError } from '../../../src/pipeline/errors.ts';

const hash = '0123456789abcdef';
const identity = { step: 'respond', format: 1, params: {}, inputs: {} } as const;

function jobWith(status: object, spec: object = { completions: 2 }): Live<Job> {
  const metadata = {
    name: 'tiny-respond-01234567',
    namespace: 'models',
    uid: 'u',
    resourceVersion: '1',
    labels: stepLabels('tiny', 'respond', hash),
  };
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { ...metadata, annotations: { 'r2r.dev/generation': '3' } },
    spec,
    status,
  } as unknown as Live<Job>;
}

function podWith(phase: string, more: object = {}): Live<Pod> {
  const metadata = { name: 'p', namespace: 'models', uid: 'p', resourceVersion: '1' };
  return { apiVersion: 'v1', kind: 'Pod', metadata, status: { phase, ...more } };
}

const ended = (message: string, exitCode: number, finishedAt: string) => ({
  containerStatuses: [{ name: 'step', image: 'i', ready: false, state: { terminated: { exitCode, message, finishedAt } } }],
});

describe('what is read of a Job and its pods', () => {
  it('is where it stands, and the last words of its pods in their order', () => {
    const first = terminationText(failureMessage(identity, { index: 1, count: 2 }, new PipelineError('PIPELINE_ENGINE', 'gone', 'wait')));
    const manifest = { digest: 'd'.repeat(64), rows: { finished: 3 }, counts: { questions: 3 } } as never;
    const last = terminationText(outcomeMessage(identity, { index: 1, count: 2 }, { sealed: true, manifest, found: false }));
    const job = observeJob(jobWith({ succeeded: 2, conditions: [{ type: 'Complete', status: 'True' }] }), [
      podWith('Succeeded', ended(last, 0, '2026-01-01T00:02:00Z')),
      podWith('Failed', ended(first, 1, '2026-01-01T00:01:00Z')),
    ]);
    assert.ok(job);
    assert.deepEqual(
      [job.step, job.hash, job.generation, job.phase, job.shards, job.shardsDone, job.running, job.problem],
      ['respond', hash, 3, 'Complete', 2, 2, false, undefined],
    );
    assert.deepEqual(
      job.messages.map((each) => (each.ok ? each.digest : each.code)),
      ['PIPELINE_ENGINE', 'd'.repeat(64)],
    );
  });

  it('is why it failed, as the Job says it', () => {
    const job = observeJob(jobWith({ conditions: [{ type: 'Failed', status: 'True', reason: 'PodFailurePolicy' }] }), []);
    assert.deepEqual([job?.phase, job?.failedBecause], ['Failed', 'PodFailurePolicy']);
  });

  it('is since when pods wait for room, and that Kueue holds it', () => {
    const conditions = [
      {
        type: 'PodScheduled',
        status: 'False',
        message: '0/1 nodes: Insufficient nvidia.com/gpu',
        lastTransitionTime: '2026-01-01T00:00:00Z',
      },
    ];
    const job = observeJob(jobWith({}, { completions: 1, suspend: true }), [podWith('Pending', { conditions })]);
    assert.equal(job?.waitingSinceMs, Date.parse('2026-01-01T00:00:00Z'));
    assert.equal(job.suspended, true);
    assert.equal(job.problem?.reason, 'InsufficientCapacity');
  });

  it('is nothing for a Job that no router made', () => {
    const job = jobWith({});
    assert.equal(observeJob({ ...job, metadata: { ...job.metadata, labels: {} } }, []), undefined);
  });
});

describe('the last words of a step', () => {
  it('are understood as the trainer writes them', () => {
    // made by trainer/tests/test_run.py
    const words = JSON.parse(readFileSync('test/golden/trainer-last-words.json', 'utf8')) as unknown[];
    const [done, refused, defect, damaged] = words.map((each) => readTermination(JSON.stringify(each)));
    assert.deepEqual(done, {
      ok: true,
      step: 'train',
      hash,
      sealed: true,
      digest: 'd'.repeat(64),
      rows: { train: 800, validation: 100, test: 100 },
      counts: { epochs: 9, bestEpoch: 7, parameters: 1234 },
    });
    assert.ok(refused && !refused.ok && !refused.retryable);
    assert.deepEqual([refused.code, refused.field], ['CONFIG_INVALID', 'training.loss.type']);
    assert.ok(defect && !defect.ok && defect.retryable);
    assert.equal(defect.code, 'TRAINER_DEFECT');
    assert.ok(damaged && !damaged.ok && damaged.retryable);
    assert.deepEqual([damaged.code, damaged.faultyStep], ['PIPELINE_PART_CORRUPT', 'construct']);
  });

  it('are understood where a step or the trainer wrote them', () => {
    assert.deepEqual(readTermination('trainer: note: x\ntrainer: CONFIG_INVALID: training.loss.type: is not known; use one of …\n'), {
      ok: false,
      code: 'CONFIG_INVALID',
      message: 'training.loss.type: is not known; use one of …',
      retryable: false,
    });
  });

  it('are nothing where they are the end of a log, or cut off', () => {
    for (const text of [undefined, '', 'Killed', '{"ok":true,"st', '{"ok":1}', '[]']) assert.equal(readTermination(text), undefined);
  });
});
