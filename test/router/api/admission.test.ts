import assert from 'node:assert/strict';
import { Admission } from '../../../src/router/api/admission.ts';
import { ApiError } from '../../../src/router/errors.ts';

const never = new AbortController().signal;
const turn = (): Promise<void> => new Promise(setImmediate);

describe('admission', () => {
  let limits = { maxConcurrentRequests: 2, maxQueuedRequests: 2 };
  let nowMs = 0;
  let admission: Admission;
  beforeEach(() => {
    limits = { maxConcurrentRequests: 2, maxQueuedRequests: 2 };
    nowMs = 0;
    admission = new Admission(
      () => limits,
      () => nowMs,
    );
  });
  const refusal = async (): Promise<ApiError> => {
    try {
      await admission.enter(never);
    } catch (error) {
      assert.ok(error instanceof ApiError);
      return error;
    }
    throw new Error('it was let in');
  };

  it('lets so many in, and the next in the order of their arrival as others end', async () => {
    const order: string[] = [];
    const releases = await Promise.all([admission.enter(never), admission.enter(never)]);
    const third = admission.enter(never).then((release) => (order.push('third'), release));
    const fourth = admission.enter(never).then((release) => (order.push('fourth'), release));
    await turn();
    assert.deepEqual([order, admission.running, admission.queued], [[], 2, 2]);
    releases[1]();
    releases[1]();
    await turn();
    assert.deepEqual([order, admission.running, admission.queued], [['third'], 2, 1], 'a second call of a release does nothing');
    (await third)();
    releases[0]();
    (await fourth)();
    assert.deepEqual([order, admission.running, admission.queued], [['third', 'fourth'], 0, 0]);
  });

  it('turns away what the queue has no room for, and says when to try again', async () => {
    const first = await admission.enter(never);
    await admission.enter(never);
    nowMs = 30_000;
    first();
    await admission.enter(never);
    void admission.enter(never);
    void admission.enter(never);
    const { code, status, retryAfterSeconds } = await refusal();
    assert.deepEqual([code, status, retryAfterSeconds], ['too_many_requests', 429, 15], 'two at work, each 30 s');
    assert.throws(() => admission.assertRoom(), ApiError);
  });

  it('bounds the wait it suggests to 1 to 60 s', async () => {
    limits = { maxConcurrentRequests: 1, maxQueuedRequests: 0 };
    (await admission.enter(never))();
    const release = await admission.enter(never);
    assert.equal((await refusal()).retryAfterSeconds, 1);
    nowMs = 3_600_000;
    release();
    await admission.enter(never);
    assert.equal((await refusal()).retryAfterSeconds, 60);
  });

  it('lets a client that leaves out of the queue', async () => {
    const release = await admission.enter(never);
    await admission.enter(never);
    const client = new AbortController();
    const gone = assert.rejects(admission.enter(client.signal), /left/);
    const next = admission.enter(never);
    client.abort(new Error('left'));
    await gone;
    assert.equal(admission.queued, 1);
    release();
    (await next)();
    await assert.rejects(admission.enter(client.signal), /left/, 'and one that has left before it came never enters');
  });

  it('follows limits that change', async () => {
    await admission.enter(never);
    await admission.enter(never);
    const third = admission.enter(never);
    limits = { maxConcurrentRequests: 4, maxQueuedRequests: 2 };
    (await admission.enter(never))();
    (await third)();
    limits = { maxConcurrentRequests: 1, maxQueuedRequests: 0 };
    assert.equal((await refusal()).code, 'too_many_requests');
  });
});
