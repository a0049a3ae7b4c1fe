/** What `npm run bench:operator` measures with 1,000, bounded: the operator's process with 100 deployments on kwok's nodes. Pods and routers are emulated. */
import assert from 'node:assert/strict';
import { mayMakeNamespaces, runScale } from './scale-run.ts';

describe('a hundred deployments applied at once', function () {
  // the first run builds what plays nodes
  this.timeout(1_200_000);

  it('become Ready; then, and after a restart of the operator, nothing is written', async function () {
    if (!mayMakeNamespaces()) this.skip();
    const results = await runScale(['--deployments', '100', '--no-floor', '--no-peer', '--idle-seconds', '16']);
    assert.equal(results.deployments, 100);
    assert.ok(results.readySeconds < 120, `${results.readySeconds} s`);
    assert.equal(results.idleWrites, 0, JSON.stringify(results.idle.requests));
    assert.equal(results.restartWrites, 0);
    assert.ok(results.idle.reconciles > 0, 'they were looked at meanwhile');
    assert.ok(results.requestsPerDeployment < 2 * results.children.direct, JSON.stringify(results.ours.requests));
  });
});
