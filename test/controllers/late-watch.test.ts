/** A busy API server tells of the operator's own writes late: after the next reconcile. */
import assert from 'node:assert/strict';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import { events, keyString } from '../../src/kube/index.ts';
import type { Informer, Live, ObjectKey } from '../../src/kube/index.ts';
import { until } from '../cluster/progress.ts';
import { ControllerStage, name } from './controller-stage.ts';

const lateMs = 1_500;

/** Shows each state of an object that much later than it came. */
function late(informer: Informer<R2RDeployment>): Informer<R2RDeployment> {
  const shown = new Map<string, { readonly object: Live<R2RDeployment>; outdatedAt: number | undefined }>();
  const get = (key: ObjectKey): Live<R2RDeployment> | undefined => {
    const object = informer.get(key);
    const before = shown.get(keyString(key));
    if (before && object && before.object !== object) {
      before.outdatedAt ??= Date.now();
      if (Date.now() < before.outdatedAt + lateMs) return before.object;
    }
    if (object) shown.set(keyString(key), { object, outdatedAt: undefined });
    return object;
  };
  return new Proxy(informer, {
    get(of, property) {
      if (property === 'get') return get;
      const value: unknown = Reflect.get(of, property, of);
      return typeof value === 'function' ? (value.bind(of) as unknown) : value;
    },
  });
}

describe('an operator that hears of its own writes late', function () {
  this.timeout(120_000);
  let stage: ControllerStage;
  before(async () => {
    stage = await ControllerStage.make((caches) => ({ ...caches, r2r: late(caches.r2r) }));
    stage.start();
  });
  beforeEach(() => stage.nextTest());
  after(() => stage.close());

  it('notes each thing once', async () => {
    await stage.create();
    const revision = await stage.target();
    await stage.comeUp(revision);
    await stage.tells({ Ready: 'True Serving', Reconciling: 'False UpToDate' });
    const recorded = await until('the events', 20_000, async () => {
      const { items } = await stage.admin.list(events, { namespace: stage.namespace });
      const own = items.filter(({ regarding }) => regarding?.name === name);
      return own.some(({ reason }) => reason === 'Serving') && own;
    });
    const counts = recorded.map(({ reason, series }) => `${reason} ${series?.count ?? 1}`);
    assert.deepEqual(counts.sort(), ['RolloutStarted 1', 'Serving 1']);
  });
});
