import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiError, KubeClient, namespaces, serviceAccountCredentials } from '../../src/kube/index.ts';
import { controlPlane } from '../cluster/control-plane.ts';
import { startMs } from './real-server.ts';

describe("a pod's service account", () => {
  let folder: string;
  let env: NodeJS.ProcessEnv;
  let adminToken: string;

  before(async function () {
    this.timeout(startMs);
    const plane = await controlPlane();
    adminToken = plane.adminToken;
    const { hostname, port } = new URL(plane.server);
    env = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port };
    folder = mkdtempSync(join(tmpdir(), 'r2r-account-'));
    copyFileSync(plane.caFile, join(folder, 'ca.crt'));
    // files may end in a newline, which no header may
    writeFileSync(join(folder, 'token'), `${adminToken}\n`);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('leads to the API server that the environment names', async () => {
    await using client = KubeClient.fromCredentials(serviceAccountCredentials(env, folder), { fieldManager: 'test' });
    assert.equal((await client.get(namespaces, { name: 'default' })).metadata.name, 'default');
  });

  it('is read again after a 401: the kubelet has renewed the token', async () => {
    writeFileSync(join(folder, 'token'), 'expired');
    await using client = KubeClient.fromCredentials(serviceAccountCredentials(env, folder), { fieldManager: 'test' });
    await assert.rejects(client.get(namespaces, { name: 'default' }), (error) => error instanceof ApiError && error.status === 401);
    writeFileSync(join(folder, 'token'), adminToken);
    assert.equal((await client.get(namespaces, { name: 'default' })).metadata.name, 'default');
  });

  it('takes IPv6 addresses', () => {
    const { origin } = serviceAccountCredentials({ KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' }, folder);
    assert.equal(origin, 'https://[fd00::1]');
  });

  it('says what is missing', async () => {
    assert.throws(() => serviceAccountCredentials({}, folder), /KUBERNETES_SERVICE_HOST is not set: run this in a pod, or set KUBECONFIG/);
    const elsewhere = serviceAccountCredentials(env, join(folder, 'none'));
    await assert.rejects(elsewhere.current(), /^ConfigError: the pod's service account: .*none\/(token|ca\.crt)/);
  });
});
