/** 5,000 deployments do not break the operator: all become Ready in the end. Pods and routers are emulated. */
import assert from 'node:assert/strict';
import { recordResult } from '../record-result.ts';
import { mayMakeNamespaces, runScale } from '../simulated/scale-run.ts';

describe('five thousand deployments applied at once', function () {
  this.timeout(7_200_000);

  it('become Ready, and nothing is written afterwards', async function () {
    if (!mayMakeNamespaces()) this.skip();
    const results = await runScale(['--deployments', '5000', '--no-floor', '--no-peer', '--idle-seconds', '180']);
    const { readySeconds, peakMemoryMb, idleCpuPercent, idleWrites, restartWrites, requestsPerDeployment } = results;
    const figures = {
      deployments: results.deployments,
      readySeconds,
      peakMemoryMb,
      idleCpuPercent,
      idleWrites,
      restartWrites,
      requestsPerDeployment,
    };
    console.log(JSON.stringify(figures));
    assert.equal(results.deployments, 5000);
    assert.equal(idleWrites, 0, JSON.stringify(results.idle.requests));
    assert.equal(restartWrites, 0);
    await recordResult('scale', figures);
  });
});
