/** A busy API server tells of the operator's own writes late: after the next reconcile. */
import assert from 'node:assert/strict';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import { events, keyOf, keyString } from '../../src/kube/index.ts';
import type { Informer, InformerHandler, Live, ObjectKey } from '../../src/kube/index.ts';
import { until } from '../cluster/progress.ts';
import { ControllerStage, name } from './controller-stage.ts';

const lateMs = 1_500;

/** Shows each state of an object, and tells of it, that much later than it came. */
function late(informer: Informer<R2RDeployment>): Informer<R2RDeployment> {
  const shown = new Map<string, Live<R2RDeployment>>();
  const later = (work: () => void): unknown => setTimeout(work, lateMs);
  const show = (object: Live<R2RDeployment>): unknown => later(() => shown.set(keyString(keyOf(object)), object));
  informer.addHandler({
    onAdd: show,
    onUpdate: (_, after) => show(after),
    onDelete: (last) => later(() => shown.delete(keyString(keyOf(last)))),
  });
  const own = {
    get: (key: ObjectKey) => shown.get(keyString(key)),
    addHandler: ({ onAdd, onUpdate, onDelete }: InformerHandler<R2RDeployment>) =>
      informer.addHandler({
        onAdd: (object) => later(() => onAdd?.(object)),
        onUpdate: (before, after) => later(() => onUpdate?.(before, after)),
        onDelete: (last) => later(() => onDelete?.(last)),
      }),
  };
  return new Proxy(informer, {
    get(of, property) {
      if (property in own) return own[property as keyof typeof own];
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
