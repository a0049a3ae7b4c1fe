import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { parseAllDocuments } from 'yaml';
import type { ApiServer } from './api-server.ts';
import { apiServer, resourcePath } from './api-server.ts';
import type { Manifest } from './deployments.ts';
import { manifest, set } from './deployments.ts';
import { routerPath } from './routers.ts';
import { routerKind } from '../../src/api/r2rrouter.ts';

describe('the API server, given a right R2RDeployment', function () {
  this.timeout(180_000);
  let server: ApiServer;
  let namespace: string;

  before(async () => {
    server = await apiServer();
    namespace = await server.namespace('right');
  });
  after(() => server.close());

  const create = async (object: object, path = resourcePath(namespace)) => {
    const { status, body } = await server.send('POST', `${path}?fieldValidation=Strict`, object);
    assert.equal(status, 201, body.message);
    return body as unknown as Manifest & { status?: unknown };
  };

  it('fills in every default, also of sections that are left out', async () => {
    const object = manifest('defaults', namespace);
    set(object, 'spec.router', undefined);
    const { spec } = await create(object);
    assert.deepEqual(spec, {
      slm: { model: '/models/slm', engine: 'CPU', replicas: 1, extraArgs: [] },
      llm: { model: 'pvc://weights/llm', engine: 'SGLang', replicas: 2, extraArgs: [], nodes: 1 },
      placement: 'Disaggregated',
      router: {
        device: 'cpu',
        maxDraftTokens: 8,
        lookahead: 'Single',
        maxLookaheadCalls: 4,
        limits: {
          maxBodyBytes: 8_388_608,
          requestTimeoutSeconds: 3600,
          maxConcurrentRequests: 256,
          maxQueuedRequests: 1024,
          maxChoices: 8,
        },
        onLLMUnavailable: 'UseSLM',
        llmTimeoutSeconds: 30,
      },
      api: { service: { type: 'ClusterIP' } },
      networkPolicy: { enabled: true },
      podDisruptionBudget: { enabled: true },
      rollout: { strategy: 'Surge', progressDeadlineSeconds: 1500 },
      suspend: false,
    });
  });

  it('prunes what it does not know, but keeps a pod overlay as it is', async () => {
    const object = manifest('pruned', namespace);
    const overlay = { containers: [{ name: 'router', someFutureField: { on: true } }], nodeSelector: { disk: 'fast' } };
    set(object, 'spec.colour', 'red');
    set(object, 'spec.slm.podTemplate.spec', overlay);
    const { status, body } = await server.send('POST', resourcePath(namespace), object);
    assert.equal(status, 201, body.message);
    const { spec } = body as unknown as { spec: { colour?: string; slm: { podTemplate: object } } };
    assert.equal(spec.colour, undefined);
    assert.deepEqual(spec.slm.podTemplate, { spec: overlay });
  });

  it('takes quantities as numbers and as strings', async () => {
    const object = manifest('quantities', namespace);
    set(object, 'spec.slm.resources.limits', { cpu: 2, memory: '1.5Gi', 'ephemeral-storage': '1e9' });
    await create(object);
  });

  for (const model of ['/a', '/opt/models/Qwen2.5-1.5B@main/', 'pvc://weights', 'pvc://weights.v2/a/b_c']) {
    it(`takes ${model} as a model`, async () => {
      const object = manifest(`model-${Math.random().toString(36).slice(2, 8)}`, namespace);
      set(object, 'spec.llm.model', model);
      await create(object);
    });
  }

  for (const uri of [
    '/models/router.pt',
    'pvc://routers.v1/r1/DeepSeek-R1-Distill-Qwen-1.5B+DeepSeek-R1-Distill-Qwen-32B.pt',
    'https://host.example:8443/a%20b/router.pt',
    'hf://org/a.repo_1/folder/router.pt@refs/pr/1',
    's3://routers.v1/pair/bundles/685c7de4b3e2338a0f5b62be2c9c081753af8630fc7d1d9f52ba103215b9afb6',
  ]) {
    it(`takes ${uri} as a checkpoint`, async () => {
      const object = manifest(`checkpoint-${Math.random().toString(36).slice(2, 8)}`, namespace);
      set(object, 'spec.router', { checkpoint: { uri }, threshold: 1, overrides: { strategies: ['neural', 'slm'], maxThreshold: 0.9 } });
      await create(object);
    });
  }

  for (const router of [
    { strategy: 'immediate', strategyOptions: { aleatoricThreshold: 2.2, epistemicThreshold: 0.06, entropyThreshold: 0.3 } },
    {
      strategy: 'momentum',
      strategyOptions: { aleatoricThreshold: 2, momentumFactor: 0.5, slmToLLMThreshold: 0.2, llmToSLMThreshold: 0.8 },
    },
    { strategy: 'rolling', strategyOptions: { aleatoricThreshold: 2, entropyThreshold: 0.1, windowSize: 5 } },
    { strategy: 'duo_rolling', strategyOptions: { aleatoricThreshold: 2, windowSize: 5 } },
    { strategy: 'neural_rolling', threshold: 0.4, strategyOptions: { windowSize: 5 }, checkpoint: { uri: '/router.pt' } },
    { strategy: 'random', strategyOptions: { llmProbability: 0.1, seed: 0 }, overrides: { strategies: [] } },
  ]) {
    it(`takes strategy ${router.strategy} with all its options`, async () => {
      const object = manifest(`strategy-${router.strategy.replace('_', '-')}`, namespace);
      set(object, 'spec.router', router);
      await create(object);
    });
  }

  it('takes a name of 40 characters', async () => {
    await create(manifest('a'.repeat(40), namespace));
  });

  it('scales the LLM through the scale subresource, with the selector of status', async () => {
    await create(manifest('scaled', namespace));
    const path = resourcePath(namespace, 'scaled');
    const status = { llm: { replicas: 2, readyReplicas: 1, updatedReplicas: 2 }, selector: 'a=b' };
    const written = await server.send('PATCH', `${path}/status`, { status }, 'application/merge-patch+json');
    assert.equal(written.status, 200, written.body.message);
    const scale = await server.send('GET', `${path}/scale`);
    assert.deepEqual([scale.body.spec, scale.body.status], [{ replicas: 2 }, { replicas: 2, selector: 'a=b' }]);
    const scaled = await server.send('PATCH', `${path}/scale`, { spec: { replicas: 5 } }, 'application/merge-patch+json');
    assert.equal(scaled.status, 200, scaled.body.message);
    const { body } = await server.send('GET', path);
    assert.equal((body as unknown as { spec: { llm: { replicas: number } } }).spec.llm.replicas, 5);
  });

  it('keeps status out of reach of those who may only write the resource', async () => {
    const created = await create({ ...manifest('statusless', namespace), status: { endpoint: 'http://elsewhere' } });
    assert.deepEqual(created.status, { observedGeneration: 0 });
  });

  it('refuses a status without observedGeneration on a condition', async () => {
    await create(manifest('conditions', namespace));
    const condition = { type: 'Ready', status: 'True', reason: 'Serving', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' };
    const path = `${resourcePath(namespace, 'conditions')}/status`;
    const { status, body } = await server.send('PATCH', path, { status: { conditions: [condition] } }, 'application/merge-patch+json');
    assert.equal(status, 422);
    assert.match(body.message ?? '', /conditions\[0\]\.observedGeneration: Required value/);
  });

  it('prints the columns of kubectl get', async () => {
    const { body } = await server.send('GET', `${resourcePath(namespace)}?includeObject=None`);
    assert.equal(body.kind, 'R2RDeploymentList');
    const crd = await server.send('GET', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/r2rdeployments.r2r.dev');
    const { versions } = crd.body.spec as { versions: { additionalPrinterColumns: { name: string; priority?: number }[] }[] };
    const columns = versions[0]!.additionalPrinterColumns;
    assert.deepEqual(
      columns.map(({ name, priority = 0 }) => `${name}${priority > 0 ? ' (wide)' : ''}`),
      ['Ready', 'SLM', 'LLM', 'LLM%', 'Tok/s', 'Age', 'Threshold (wide)', 'Params (wide)', 'URL (wide)', 'Reason (wide)'],
    );
  });

  for (const file of globSync('examples/*.yaml').sort()) {
    it(`takes ${file}, strictly`, async () => {
      for (const document of parseAllDocuments(readFileSync(file, 'utf8'))) {
        const object = document.toJSON() as Manifest;
        set(object, 'metadata.namespace', namespace);
        await create(object, object.kind === routerKind ? routerPath(namespace) : resourcePath(namespace));
      }
    });
  }
});
