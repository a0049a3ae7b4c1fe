import assert from 'node:assert/strict';
import { stateFolder } from './settings.ts';
import { released, volumes } from './volumes.ts';

interface Volume {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly accessModes: readonly string[];
    readonly storageClassName: string;
    readonly hostPath: { readonly path: string };
    readonly persistentVolumeReclaimPolicy: string;
  };
}

describe('the volumes of the local cluster', () => {
  const pool = volumes as readonly Volume[];

  it('suit claims without a class, each with a folder of its own that `down` removes', () => {
    for (const { metadata, spec } of pool) {
      assert.deepEqual([spec.storageClassName, spec.accessModes], ['', ['ReadWriteOnce', 'ReadWriteMany']]);
      assert.equal(spec.hostPath.path, `${stateFolder}/volumes/${metadata.name}`);
      // nobody deletes folders of a machine for Kubernetes
      assert.equal(spec.persistentVolumeReclaimPolicy, 'Retain');
    }
    assert.equal(new Set(pool.map(({ spec }) => spec.hostPath.path)).size, pool.length);
  });

  it('are emptied only once their claim is gone, and no others ever', () => {
    const items = [
      ...['Available', 'Bound', 'Released', 'Pending', undefined].map((phase, index) => ({
        metadata: pool[index]!.metadata,
        status: phase === undefined ? {} : { phase },
      })),
      { metadata: { name: 'somebody-elses' }, status: { phase: 'Released' } },
    ];
    assert.deepEqual(released({ items }), [pool[2]!.metadata.name]);
    assert.deepEqual(released({ items: [] }), []);
  });
});
