import assert from 'node:assert/strict';
import { cachedModels } from '../../../src/api/cached-models.ts';
import { modelCacheStatusSchema } from '../../../src/api/model-cache-status.ts';
import type { ModelStatus } from '../../../src/api/model-cache-status.ts';
import { firstProblem, modelProblem, modelsReady } from '../../../src/controllers/models/conditions.ts';
import { decideDownload, retryDelayMs } from '../../../src/controllers/models/download-state.ts';
import type { DownloadDecision } from '../../../src/controllers/models/download-state.ts';
import type { ObservedDownload } from '../../../src/controllers/models/observation.ts';
import { bytesText, durationText } from '../../../src/controllers/models/texts.ts';
import { stored } from '../../api/deployments.ts';

const address = 'hf://Qwen/Qwen3-8B@main';
const [model] = cachedModels(stored('qwen', { slm: { model: '/a' }, llm: { model: address }, modelCache: {} }));
assert.ok(model);
const start = new Date('2026-01-01T00:00:00Z');
const commit = 'ab'.repeat(20);

/** A model's download as a cluster would have it, and an operator that decides when it is told to. */
class Scene {
  record: ModelStatus | undefined;
  job: ObservedDownload | undefined;
  now = start;
  generation = 1;
  wanted = 'inputs';
  claimUID: string | undefined = 'claim-1';
  made = 0;

  step(): DownloadDecision {
    const { record: before, job, now, generation, wanted, claimUID } = this;
    const decision = decideDownload({ model: model!, before, job, wanted, claimUID, generation, now });
    this.record = decision.status;
    modelCacheStatusSchema.parse({ claim: 'c', models: [decision.status] });
    if (decision.remove) this.job = undefined;
    if (decision.create) {
      assert.equal(this.job, undefined, 'its name is free');
      this.made++;
      this.job = {
        name: 'qwen-model-1',
        uid: `job-${this.made}`,
        hash: model!.hash,
        inputs: wanted,
        generation,
        deleting: false,
        phase: 'Active',
        running: false,
        messages: [],
      };
    }
    return decision;
  }

  set(change: Partial<ObservedDownload>): DownloadDecision {
    assert.ok(this.job);
    this.job = { ...this.job, ...change };
    return this.step();
  }

  fail(code: string, retryable: boolean): DownloadDecision {
    const message = { ok: false, code, message: `${code} happened`, retryable } as const;
    const failedBecause = retryable ? 'BackoffLimitExceeded' : 'PodFailurePolicy';
    return this.set({ phase: 'Failed', failedBecause, running: false, messages: [message] });
  }

  complete(): DownloadDecision {
    const message = {
      ok: true,
      step: 'download',
      hash: address,
      sealed: true,
      digest: commit,
      counts: { bytes: 16_400_000_000, files: 9 },
    } as const;
    return this.set({ phase: 'Complete', running: false, messages: [message] });
  }

  wait(seconds: number): DownloadDecision {
    this.now = new Date(this.now.getTime() + seconds * 1000);
    return this.step();
  }

  get state(): string | undefined {
    return this.record?.state;
  }
}

const progress = { unit: 'bytes', done: 6_888_000_000, total: 16_400_000_000, perSecond: 220_000_000, etaSeconds: 43 };

describe("a model's download", () => {
  it('is a Job, then bytes with speed and estimate, then a commit', () => {
    const scene = new Scene();
    assert.equal(scene.step().create, true);
    assert.deepEqual([scene.state, scene.record?.attempts], ['Pending', 1]);
    scene.set({ running: true });
    assert.equal(scene.state, 'Downloading');
    scene.set({ progress });
    assert.deepEqual(
      [scene.record?.bytes, scene.record?.totalBytes, scene.record?.bytesPerSecond, scene.record?.etaSeconds],
      [6_888_000_000, 16_400_000_000, 220_000_000, 43],
    );
    assert.equal(scene.record?.progress, '42% of 15.3 GiB, 209.8 MiB/s, 43 s left');
    scene.complete();
    assert.deepEqual([scene.state, scene.record.commit, scene.record.bytes], ['Ready', commit, 16_400_000_000]);
    assert.equal('progress' in scene.record, false);
    scene.job = undefined;
    for (let hour = 0; hour < 3; hour++) assert.equal(scene.wait(3600).create, false, 'the record stays when the Job has gone');
    assert.equal(scene.made, 1);
  });

  it('waits a moment for the last words of a complete Job, and asks again when they never come', () => {
    const scene = new Scene();
    scene.step();
    const { atMs } = scene.set({ phase: 'Complete', completedAtMs: start.getTime() });
    assert.equal(atMs, start.getTime() + 15_000);
    assert.ok(scene.wait(16).remove);
    assert.deepEqual([scene.state, scene.record?.failure?.code], ['Retrying', 'ResultMissing']);
    assert.equal(scene.wait(30).create, false);
    assert.equal(scene.wait(31).create, true);
    scene.complete();
    assert.equal(scene.state, 'Ready');
    assert.equal(scene.record?.failure, undefined);
  });

  it('is tried again after a failure that may pass, later each time, at most every ten minutes', () => {
    assert.deepEqual([1, 2, 3, 4, 5, 50].map(retryDelayMs), [60_000, 120_000, 240_000, 480_000, 600_000, 600_000]);
    const scene = new Scene();
    scene.step();
    for (const seconds of [60, 120, 240]) {
      scene.fail('FETCH_UNAVAILABLE', true);
      assert.equal(scene.state, 'Retrying');
      assert.deepEqual([scene.wait(seconds - 1).create, scene.job !== undefined], [false, true]);
      assert.ok(scene.wait(1).remove);
      assert.equal(scene.step().create, true);
      assert.equal(scene.state, 'Retrying', 'what is known stays until there is something new');
    }
    scene.set({ running: true, progress });
    assert.deepEqual([scene.state, scene.record?.failure], ['Downloading', undefined]);
    assert.equal(scene.made, 4);
  });

  it('is never tried in a hurry, however long ago its first failure was', () => {
    const scene = new Scene();
    scene.step();
    let made = 0;
    for (let minute = 0; minute < 600; minute++) {
      if (scene.job?.phase === 'Active') scene.fail('FETCH_DENIED', false);
      scene.wait(60);
      scene.step();
      made = scene.made;
    }
    assert.ok(made > 30 && made < 75, `${made} Jobs in ten hours`);
    assert.equal(scene.state, 'Failed');
  });

  it('is for a person after others, stays so while it is tried all the same, and goes on at once when the spec changes', () => {
    const scene = new Scene();
    scene.step();
    scene.fail('FETCH_DENIED', false);
    assert.deepEqual([scene.state, scene.record?.failure?.retryable], ['Failed', false]);
    scene.generation = 2;
    assert.ok(scene.step().remove);
    assert.equal(scene.step().create, true);
    scene.set({ running: true });
    assert.equal(scene.state, 'Failed', 'nothing new is known yet');
    scene.set({ progress });
    assert.equal(scene.state, 'Downloading');
  });

  it('shows the last words between two tries of its Job', () => {
    const scene = new Scene();
    scene.step();
    scene.set({ messages: [{ ok: false, code: 'FETCH_NO_SPACE', message: 'no room', retryable: true }] });
    assert.deepEqual([scene.state, scene.record?.failure?.message], ['Retrying', 'no room']);
    const { at } = scene.record!.failure!;
    scene.wait(5);
    assert.equal(scene.record?.failure?.at, at, 'nothing new, nothing to write');
    scene.set({ running: true, progress });
    assert.equal(scene.state, 'Downloading');
  });

  it('is begun again where it was when token, hub or node change', () => {
    const scene = new Scene();
    scene.step();
    scene.set({ running: true, progress });
    scene.wanted = 'others';
    assert.ok(scene.step().remove);
    assert.equal(scene.step().create, true);
    assert.equal(scene.job?.inputs, 'others');
  });

  it('waits while its Job is being removed', () => {
    const scene = new Scene();
    scene.step();
    assert.equal(scene.set({ deleting: true }).create, false);
    scene.job = undefined;
    assert.equal(scene.step().create, true);
  });

  it('is begun anew when the claim that was made is another one, whatever an old Job said', () => {
    const scene = new Scene();
    scene.step();
    scene.complete();
    scene.claimUID = 'claim-2';
    assert.ok(scene.step().remove);
    assert.equal(scene.step().create, true);
    scene.complete();
    assert.deepEqual([scene.state, scene.record?.claimUID], ['Ready', 'claim-2']);
  });

  it('counts as done only by a Job that was told what is wanted now', () => {
    const scene = new Scene();
    scene.step();
    scene.wanted = 'on another claim';
    assert.ok(scene.complete().remove);
    assert.equal(scene.state, 'Pending');
  });

  it('says why its pod does not run', () => {
    const scene = new Scene();
    scene.step();
    const problem = { reason: 'Unschedulable', message: 'pod has unbound immediate PersistentVolumeClaims' };
    scene.set({ problem });
    assert.equal(scene.state, 'Pending');
    assert.deepEqual(modelProblem(scene.record!, problem), {
      reason: 'Unschedulable',
      message: `${address} waits for its download: ${problem.message}`,
    });
  });
});

describe('what the conditions say of models', () => {
  const status = (change: Partial<ModelStatus>): ModelStatus => ({ model: address, state: 'Downloading', address: 'pvc://c/x', ...change });
  const failed = (code: string, message = 'it failed', retryable = false): ModelStatus =>
    status({ state: retryable ? 'Retrying' : 'Failed', failure: { code, message, retryable, at: start.toISOString(), generation: 1 } });

  it('has speed and estimate', () => {
    assert.deepEqual(modelProblem(status({ progress: '42% of 15.3 GiB, 210 MiB/s, 43 s left' }), undefined), {
      reason: 'ModelDownloading',
      message: `${address} is being downloaded: 42% of 15.3 GiB, 210 MiB/s, 43 s left`,
    });
  });

  const reasons: readonly (readonly [string, string])[] = [
    ['FETCH_DENIED', 'ModelAccessDenied'],
    ['FETCH_TOKEN', 'ModelAccessDenied'],
    ['FETCH_NOT_FOUND', 'ModelNotFound'],
    ['FETCH_UNSUPPORTED', 'ModelUnsupported'],
    ['FETCH_DIGEST_MISMATCH', 'ModelChecksumMismatch'],
    ['FETCH_NO_SPACE', 'ModelCacheFull'],
    ['FETCH_CACHE', 'ModelCacheUnusable'],
    ['FETCH_UNAVAILABLE', 'HubUnavailable'],
    ['FETCH_PROTOCOL', 'ModelDownloadFailed'],
    ['ImagePullBackOff', 'ImagePullBackOff'],
  ];
  for (const [code, reason] of reasons)
    it(`calls ${code} ${reason}`, () => {
      assert.equal(modelProblem(failed(code), undefined)?.reason, reason);
    });

  it('names the model once, and says that it is tried again where that may help', () => {
    assert.equal(
      modelProblem(failed('FETCH_DENIED', 'hf://Qwen/Qwen3-8B/config.json@ab: gated'), undefined)?.message,
      'hf://Qwen/Qwen3-8B/config.json@ab: gated',
    );
    assert.equal(modelProblem(failed('X', 'broken', true), undefined)?.message, `${address}: broken; it is tried again`);
  });

  it('tells first what only a person can mend', () => {
    const all = [status({}), failed('FETCH_UNAVAILABLE', 'away', true), failed('FETCH_DENIED'), status({ state: 'Ready' })];
    const each = all.map((one) => ({ status: one, problem: modelProblem(one, undefined) }));
    assert.equal(firstProblem(each)?.reason, 'ModelAccessDenied');
    assert.equal(firstProblem(each.filter((_, index) => index !== 2))?.reason, 'HubUnavailable');
    assert.equal(firstProblem([each[0]!, each[3]!])?.reason, 'ModelDownloading');
    assert.equal(firstProblem([each[3]!]), undefined);
  });

  it('names claim and commits when all are there', () => {
    const ready = status({ state: 'Ready', commit, bytes: 16_400_000_000 });
    const condition = modelsReady({ claim: 'weights', models: [ready] }, undefined);
    assert.deepEqual([condition.status, condition.reason], ['True', 'Downloaded']);
    assert.equal(condition.message, `on claim weights: ${address} (commit abababab, 15.3 GiB)`);
  });

  it('has sizes and times as people say them', () => {
    assert.deepEqual([0, 900, 1536, 16_400_000_000].map(bytesText), ['0 B', '900 B', '1.5 KiB', '15.3 GiB']);
    assert.deepEqual([0, 43, 200, 4800, 7200].map(durationText), ['0 s', '43 s', '3 min', '80 min', '2 h']);
    assert.equal(durationText(8100), '2 h 15 min');
  });
});
