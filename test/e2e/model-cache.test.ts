import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI from 'openai';
import { findCondition } from '../../src/api/conditions.ts';
import type { ConditionType } from '../../src/api/conditions.ts';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import type { Job, Pod } from '../../src/kube/resources.ts';
import { portForward } from '../../tools/demo/port-forward.ts';
import { imageNames } from '../cluster/images.ts';
import { until } from '../cluster/progress.ts';
import { whyNoCluster } from '../cluster/shared.ts';
import { example, operatorEnvironment } from './operator-environment.ts';
import type { Environment } from './operator-environment.ts';

const namespace = 'r2r-e2e-model-cache';
const [slm, llm] = ['hf://tiny/slm@main', 'hf://tiny/llm@main'];
const hubUrl = `http://hub.${namespace}.svc`;

/** The program as a pod can run it: Node takes the types out, and modules lie beside each other. */
const sources = {
  'main.mts': readFileSync(join(import.meta.dirname, 'model-hub.ts'), 'utf8').replaceAll(
    '../model/fetch/hub-server.ts',
    './hub-server.mts',
  ),
  'hub-server.mts': readFileSync(join(import.meta.dirname, '../model/fetch/hub-server.ts'), 'utf8'),
};

const labels = { app: 'hub' };
const hub: readonly object[] = [
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'hub', namespace }, data: sources },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'hub', namespace },
    spec: {
      selector: labels,
      ports: [
        { name: 'hub', port: 80, targetPort: 8080 },
        { name: 'storage', port: 81, targetPort: 8081 },
      ],
    },
  },
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'hub', namespace, labels },
    spec: {
      securityContext: { runAsNonRoot: true, runAsUser: 10_001, seccompProfile: { type: 'RuntimeDefault' } },
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'hub',
          image: imageNames.router,
          command: ['node', '/etc/hub/main.mts', hubUrl, `${hubUrl}:81`],
          readinessProbe: { httpGet: { path: '/api/models/tiny/slm/revision/main', port: 8080 }, periodSeconds: 1 },
          resources: { requests: { cpu: '50m', memory: '64Mi' } },
          volumeMounts: [{ name: 'hub', mountPath: '/etc/hub', readOnly: true }],
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
      volumes: [{ name: 'hub', configMap: { name: 'hub' } }],
    },
  },
];

describe('models from a hub on a real node', function () {
  this.timeout(240_000);
  let env: Environment;

  before(async function () {
    this.timeout(1_800_000);
    if (whyNoCluster() !== undefined) this.skip();
    env = await operatorEnvironment();
    await env.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--timeout=120s'], { timeoutMs: 130_000 });
    await env.cluster.kubectl(['create', 'namespace', namespace]);
    await env.cluster.kubectl(['label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted']);
    for (const object of hub) await env.apply(object);
    await env.cluster.kubectl(['wait', '--for=condition=Ready', 'pod/hub', '--namespace', namespace, '--timeout=90s'], {
      timeoutMs: 100_000,
    });
  });
  after(async () => {
    await (env as Environment | undefined)?.cluster.kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--wait=false']);
  });

  const deployed = (name: string, modelCache: object): R2RDeployment => {
    const base = example(namespace, name, { slm: { model: slm }, llm: { model: llm, replicas: 1 } });
    return { ...base, spec: { ...base.spec, modelCache: { endpoint: hubUrl, ...modelCache } } } as R2RDeployment;
  };
  const conditionOf = async (name: string, type: ConditionType) =>
    findCondition((await env.deployment(namespace, name)).status?.conditions, type);
  const modelOf = async (name: string, model: string) =>
    (await env.deployment(namespace, name)).status?.modelCache?.models.find((each) => each.model === model);
  const podsOf = async (name: string): Promise<readonly Pod[]> =>
    (await env.get<{ items: readonly Pod[] }>('pods', '--namespace', namespace, '--selector', `app.kubernetes.io/instance=${name}`)).items;
  const isServing = (pod: Pod): boolean => ['slm', 'llm'].includes(pod.metadata?.labels?.['app.kubernetes.io/component'] ?? '');
  const answers = async (name: string): Promise<void> => {
    await using forward = await portForward(env.cluster, namespace, `service/${name}`, 80);
    const client = new OpenAI({ baseURL: `${forward.url}/v1`, apiKey: 'none', maxRetries: 3 });
    const { choices } = await client.chat.completions.create({
      model: name,
      messages: [{ role: 'user', content: 'Start with 12. Add 30. What is the result?' }],
      max_completion_tokens: 60,
    });
    assert.ok((choices[0]?.message.content ?? '').length > 0);
  };

  it('are downloaded before there are pods, with speed and estimate in the status', async () => {
    await env.apply(deployed('tiny', { size: '1Gi' }));
    const progress = await until('speed and estimate', 90_000, async () => {
      const found = await modelOf('tiny', llm);
      return found?.state === 'Downloading' && found.bytesPerSecond !== undefined && found.etaSeconds !== undefined ? found : undefined;
    });
    assert.match(progress.progress ?? '', /^\d+% of 1\.1 MiB, [\d.]+ KiB\/s, \d+ s left$/);
    const ready = await conditionOf('tiny', 'LLMReady');
    assert.equal(ready?.reason, 'ModelDownloading');
    assert.match(ready.message, /hf:\/\/tiny\/llm@main is being downloaded: \d+% of 1\.1 MiB/);
    assert.deepEqual((await podsOf('tiny')).filter(isServing), []);
  });

  it('are served by pods that mount them read-only', async () => {
    await env.condition(namespace, 'tiny', 'Ready', { status: 'True' }, 150_000);
    assert.equal((await conditionOf('tiny', 'ModelsReady'))?.reason, 'Downloaded');
    const found = await modelOf('tiny', llm);
    assert.match(found?.commit ?? '', /^[0-9a-f]{40}$/);
    assert.ok((found?.bytes ?? 0) > 1_100_000 && found?.bytes === found?.totalBytes);
    await answers('tiny');
    const pod = (await podsOf('tiny')).find(({ metadata }) => metadata?.labels?.['app.kubernetes.io/component'] === 'slm');
    const folder = `/models/${(found?.address ?? '').slice('pvc://'.length)}`;
    const script = `const fs = require('fs'); console.log(fs.existsSync('${folder}/r2r-model.json')); fs.writeFileSync('${folder}/mine', '')`;
    for (const container of ['router', 'engine']) {
      const exec = ['exec', pod?.metadata?.name ?? '', '--namespace', namespace, '--container', container, '--', 'node', '--eval', script];
      await assert.rejects(env.cluster.kubectl(exec), /EROFS|read-only file system/i);
    }
  });

  it('leave the revision that serves alone when the next one is gated, and say what is missing', async () => {
    const { status } = await env.deployment(namespace, 'tiny');
    await env.patch(namespace, 'tiny', { spec: { llm: { model: 'hf://tiny/verifier@main' } } });
    await until('the reason', 90_000, async () => (await conditionOf('tiny', 'Stalled'))?.reason === 'ModelAccessDenied');
    const ready = await conditionOf('tiny', 'Ready');
    assert.match(
      ready?.message ?? '',
      /the repository is gated; accept its terms on its page, .*spec\.modelCache\.tokenSecretRef.*goes on answering$/,
    );
    assert.equal((await env.deployment(namespace, 'tiny')).status?.revision?.serving, status?.revision?.serving);
    await answers('tiny');
    await env.patch(namespace, 'tiny', { spec: { llm: { model: llm } } });
    await env.condition(namespace, 'tiny', 'Ready', { status: 'True' }, 90_000);
  });

  it('are there for another deployment that names the claim, without the hub', async () => {
    await env.cluster.kubectl(['delete', 'pod', 'hub', '--namespace', namespace, '--wait=true']);
    await env.apply(deployed('second', { claim: 'tiny-models' }));
    await env.condition(namespace, 'second', 'Ready', { status: 'True' }, 150_000);
    await answers('second');
    const jobs = await env.get<{ items: readonly Job[] }>(
      'jobs',
      '--namespace',
      namespace,
      '--selector',
      'app.kubernetes.io/instance=second',
    );
    assert.equal(jobs.items.length, 2);
    for (const { status } of jobs.items) assert.equal(status?.failed ?? 0, 0);
    const [first, second] = await Promise.all(['tiny', 'second'].map((name) => modelOf(name, slm)));
    assert.deepEqual([second?.address, second?.commit], [first?.address, first?.commit]);
  });
});
