import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import type { Service } from '../../src/kube/resources.ts';
import { portForward } from '../../tools/demo/port-forward.ts';
import { until } from '../cluster/progress.ts';
import { whyNoCluster } from '../cluster/shared.ts';
import { makePair } from '../router/certificates.ts';
import type { TestPair } from '../router/certificates.ts';
import { operatorEnvironment } from './operator-environment.ts';
import type { Environment } from './operator-environment.ts';

const namespace = 'r2r-e2e-secured';
const base = parse(readFileSync(join(import.meta.dirname, '../../examples/r2rdeployment-secured.yaml'), 'utf8')) as R2RDeployment;
const { name } = base.metadata;
const { auth, tls } = base.spec.api;

describe('an R2RDeployment behind API keys and TLS', function () {
  this.timeout(300_000);
  const folder = mkdtempSync(join(tmpdir(), 'r2r-secured-'));
  let env: Environment;
  let pair: TestPair;

  before(async function () {
    this.timeout(1_800_000);
    if (whyNoCluster() !== undefined) this.skip();
    env = await operatorEnvironment();
    pair = await makePair(folder, name);
    await env.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--timeout=120s'], { timeoutMs: 130_000 });
    await env.cluster.kubectl(['create', 'namespace', namespace]);
    await env.apply({ ...base, metadata: { name, namespace } });
  });
  after(async () => {
    rmSync(folder, { recursive: true });
    await (env as Environment | undefined)?.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--wait=false']);
  });

  const secret = (secretName: string, type: string, stringData: object): Promise<void> =>
    env.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: secretName, namespace }, type, stringData });
  const keys = (stringData: object): Promise<void> => secret(auth?.secretName ?? '', 'Opaque', stringData);

  /** Asks over TLS, trusting this one certificate. */
  const ask = async (url: string, key: string | undefined): Promise<{ readonly status: number; readonly body: string }> => {
    const asked = request(`${url.replace('http:', 'https:')}/v1/chat/completions`, {
      method: 'POST',
      ca: pair.cert,
      headers: { 'content-type': 'application/json', ...(key !== undefined && { authorization: `Bearer ${key}` }) },
    });
    asked.end(JSON.stringify({ model: name, messages: [{ role: 'user', content: 'Start with 12. Add 30.' }], max_tokens: 4 }));
    const [answer] = (await once(asked, 'response')) as [NodeJS.ReadableStream & { statusCode: number }];
    let body = '';
    for await (const part of answer) body += String(part);
    return { status: answer.statusCode, body };
  };

  it('names the Secret that is missing, although the operator may not read any', async () => {
    await until('the message names the Secret of the certificate', 180_000, async () => {
      const { status } = await env.deployment(namespace, name);
      const ready = status?.conditions?.find(({ type }) => type === 'Ready');
      return ready?.status === 'False' && ready.message.includes(tls?.secretName ?? '?');
    });
  });

  it('becomes ready once the Secrets are there, in the pods that are', async () => {
    await secret(tls?.secretName ?? '', 'kubernetes.io/tls', { 'tls.crt': pair.cert, 'tls.key': pair.key });
    await keys({ alice: 'key-of-alice', bob: 'key-of-bob' });
    await env.condition(namespace, name, 'Ready', { status: 'True' }, 240_000);
    assert.equal((await env.deployment(namespace, name)).status?.endpoint, `https://${name}.${namespace}.svc`);
    const service = await env.get<Service>('service', name, '--namespace', namespace);
    assert.deepEqual(
      service.spec?.ports?.map(({ port, targetPort }) => [port, targetPort]),
      [[443, 'https']],
    );
  });

  it('answers over TLS to those who show a key, and follows the Secret without a restart', async () => {
    const pods = (): Promise<string> => env.cluster.kubectl(['get', 'pods', '--namespace', namespace, '--output=name']);
    const before = await pods();
    await using forward = await portForward(env.cluster, namespace, `service/${name}`, 443);
    assert.equal((await ask(forward.url, undefined)).status, 401);
    assert.equal((await ask(forward.url, 'key-of-mallory')).status, 401);
    const { status, body } = await ask(forward.url, 'key-of-alice');
    assert.equal(status, 200, body);
    assert.equal((await ask(forward.url, 'key-of-bob')).status, 200);
    await keys({ alice: 'new-key-of-alice', bob: 'key-of-bob' });
    await until("alice's new key is taken", 150_000, async () => (await ask(forward.url, 'new-key-of-alice')).status === 200);
    assert.equal((await ask(forward.url, 'key-of-alice')).status, 401);
    assert.equal((await ask(forward.url, 'key-of-bob')).status, 200);
    assert.equal(await pods(), before);
  });

  it('speaks plain HTTP again, still to those with a key, when the spec drops TLS', async () => {
    await env.patch(namespace, name, { spec: { api: { tls: null } } });
    await env.condition(namespace, name, 'Ready', { status: 'True' }, 240_000);
    assert.equal((await env.deployment(namespace, name)).status?.endpoint, `http://${name}.${namespace}.svc`);
    await using forward = await portForward(env.cluster, namespace, `service/${name}`, 80);
    const models = (headers: Record<string, string>) => fetch(`${forward.url}/v1/models`, { headers });
    assert.equal((await models({})).status, 401);
    assert.equal((await models({ authorization: 'Bearer key-of-bob' })).status, 200);
  });
});
