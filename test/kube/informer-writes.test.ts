/** What the cache knows of our own writes before the watch tells of them. */
import assert from 'node:assert/strict';
import { Informer, isNewerVersion, pods, type Live, type Pod } from '../../src/kube/index.ts';
import { until } from '../cluster/progress.ts';
import { FakeApiServer, FakePods, pod } from './fake-api-server.ts';
import { Recorder } from './recorder.ts';

const eventually = (what: string, test: () => boolean): Promise<unknown> => until(what, 20_000, () => Promise.resolve(test()), 5);
const key = (name: string) => ({ namespace: 'a', name });

describe('an informer that is told of a write', () => {
  let api: FakePods;
  let server: FakeApiServer;
  let informer: Informer<Pod>;
  let heard: readonly string[];

  beforeEach(async () => {
    api = new FakePods();
    api.objects = [pod('x', 1)];
    api.version = 5;
    server = await FakeApiServer.start(api.answer);
    informer = new Informer(server.client(), pods);
    heard = new Recorder(informer).heard;
    informer.start();
    await eventually('a watch', () => api.watches.length === 1);
  });
  afterEach(async () => {
    await informer.stop();
    await server[Symbol.asyncDispose]();
  });

  const version = (name: string): string | undefined => informer.get(key(name))?.metadata.resourceVersion;
  /** The watch has told everything up to now. */
  const told = async (object: Live<Pod>): Promise<void> => {
    api.tell('ADDED', object);
    await eventually('the watch', () => version(object.metadata.name) === object.metadata.resourceVersion);
  };

  it('has it at once, tells no handler, and not when the watch tells of it either', async () => {
    informer.wrote(pod('y', 7));
    assert.equal(version('y'), '7');
    api.tell('ADDED', pod('y', 7));
    await told(pod('z', 8));
    assert.deepEqual(heard, ['add x uid-x', 'add z uid-z']);
  });

  it('does not go back to an older state that the watch tells afterwards, and goes on to a newer one', async () => {
    informer.wrote(pod('x', 9));
    api.tell('MODIFIED', pod('x', 8));
    await told(pod('z', 10));
    assert.equal(version('x'), '9');
    api.tell('MODIFIED', pod('x', 11));
    await eventually('the newer state', () => version('x') === '11');
    assert.deepEqual(heard, ['add x uid-x', 'add z uid-z', 'update x 9->11']);
  });

  it('does not bring back what the watch has told to be deleted since', async () => {
    await told(pod('y', 6));
    api.tell('DELETED', pod('y', 7, 'uid-y'));
    await eventually('the deletion', () => version('y') === undefined);
    informer.wrote(pod('y', 6));
    assert.equal(version('y'), undefined);
  });

  it('hears of a deletion that follows the write', async () => {
    informer.wrote(pod('y', 7));
    api.tell('DELETED', pod('y', 8, 'uid-y'));
    await eventually('the deletion', () => version('y') === undefined);
    assert.deepEqual(heard.slice(1), ['delete y uid-y']);
  });
});

describe('versions', () => {
  it('count up, by their length first; what is no number is never newer', () => {
    assert.equal(isNewerVersion('10', '9'), true);
    assert.equal(isNewerVersion('9', '10'), false);
    assert.equal(isNewerVersion('9', '9'), false);
    assert.equal(isNewerVersion('b', 'a'), false);
    assert.equal(isNewerVersion('10', 'a'), false);
  });
});
