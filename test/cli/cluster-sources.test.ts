import assert from 'node:assert/strict';
import { endpointsOf } from '../../src/cli/cluster-sources.ts';

const endpoint = (address: string, uid: string, ready?: boolean) => ({
  addresses: [address],
  ...(ready !== undefined && { conditions: { ready } }),
  targetRef: { kind: 'Pod', uid },
});
const slice = (...endpoints: ReturnType<typeof endpoint>[]) => ({ ports: [{ name: 'engine', port: 30000 }], endpoints });

describe('LLM endpoints of EndpointSlices', () => {
  it('are the addresses of all slices, in a stable order, with the uid of their pod', () => {
    assert.deepEqual(endpointsOf([slice(endpoint('10.0.0.9', 'b', true)), slice(endpoint('10.0.0.1', 'a', false))]), [
      { url: 'http://10.0.0.1:30000', podUID: 'a', ready: false },
      { url: 'http://10.0.0.9:30000', podUID: 'b', ready: true },
    ]);
  });

  it('name a pod that moves between slices once, ready if either says so', () => {
    const both = endpointsOf([slice(endpoint('10.0.0.1', 'a', true)), slice(endpoint('10.0.0.1', 'a', false))]);
    assert.deepEqual(both, [{ url: 'http://10.0.0.1:30000', podUID: 'a', ready: true }]);
  });

  it('are ready where the slice does not say, as Kubernetes defines it', () => {
    assert.equal(endpointsOf([slice(endpoint('10.0.0.1', 'a'))])[0]?.ready, true);
  });

  it('put IPv6 addresses in brackets', () => {
    assert.equal(endpointsOf([slice(endpoint('fd00::1', 'a', true))])[0]?.url, 'http://[fd00::1]:30000');
  });

  it('are none without a port', () => {
    assert.deepEqual(endpointsOf([{ endpoints: [endpoint('10.0.0.1', 'a', true)] }]), []);
  });
});
