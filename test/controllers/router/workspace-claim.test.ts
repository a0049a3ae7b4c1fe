import assert from 'node:assert/strict';
import type { R2RRouterSpecInput } from '../../../src/api/r2rrouter.ts';
import { claimChange } from '../../../src/controllers/router/workspace-claim.ts';
import type { Live } from '../../../src/kube/index.ts';
import type { PersistentVolumeClaim } from '../../../src/kube/resources.ts';
import { storedRouter } from '../../api/routers.ts';

const router = (workspace: NonNullable<NonNullable<R2RRouterSpecInput['storage']>['workspace']>) =>
  storedRouter('tiny', { preset: 'tiny', source: { pipeline: { datasets: [{ preset: 'aime' }] } }, storage: { workspace } });
const other = { apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: 'other' };

function claim(storage: string, owners: object[] = []): Live<PersistentVolumeClaim> {
  const metadata = { name: 'tiny-workspace', namespace: 'models', uid: 'c', resourceVersion: '1', ownerReferences: owners };
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata,
    spec: { resources: { requests: { storage } } },
  } as unknown as Live<PersistentVolumeClaim>;
}

describe("a change of the workspace's claim", () => {
  it('is nothing while it is as the spec has it, and never makes it smaller', () => {
    assert.equal(claimChange(claim('200Gi'), router({})), undefined);
    assert.equal(claimChange(claim('200Gi'), router({ size: '100Gi' })), undefined);
    assert.equal(claimChange(claim('1Ti'), router({ size: '1024Gi' })), undefined);
  });

  it('makes it larger', () => {
    assert.deepEqual(claimChange(claim('200Gi'), router({ size: '1Ti' })), { spec: { resources: { requests: { storage: '1Ti' } } } });
  });

  it('ties it to the router and frees it, and leaves other owners alone', () => {
    const tied = claimChange(claim('200Gi', [other]), router({ onDelete: 'Delete' })) as {
      metadata: { ownerReferences: { name: string }[] };
    };
    assert.deepEqual(
      tied.metadata.ownerReferences.map(({ name }) => name),
      ['x', 'tiny'],
    );
    assert.equal(claimChange(claim('200Gi', tied.metadata.ownerReferences), router({ onDelete: 'Delete' })), undefined);
    assert.deepEqual(claimChange(claim('200Gi', tied.metadata.ownerReferences), router({})), { metadata: { ownerReferences: [other] } });
    assert.deepEqual(claimChange(claim('200Gi', tied.metadata.ownerReferences.slice(1)), router({})), {
      metadata: { ownerReferences: null },
    });
  });
});
