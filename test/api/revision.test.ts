import assert from 'node:assert/strict';
import type { R2RDeploymentSpec, R2RDeploymentSpecInput } from '../../src/api/r2rdeployment.ts';
import { revisionNames, templateRecordName } from '../../src/api/names.ts';
import { maxNameLength, specSchema } from '../../src/api/r2rdeployment.ts';
import { revisionOf, templateKey } from '../../src/api/revision.ts';
import { routerConfigDigest, routerConfigSchema } from '../../src/api/router-config.ts';
import type { RouterOffer } from '../../src/api/router-offer.ts';
import { strategies } from '../../src/api/strategies.ts';
import { routerConfig } from '../../src/manifests/index.ts';
import { set, stored } from './deployments.ts';

const base: R2RDeploymentSpecInput = { slm: { model: '/models/slm' }, llm: { model: '/models/llm' } };

function changed(path: string, value: unknown) {
  const input = structuredClone(base);
  set(input, path, value);
  return specSchema.parse(input);
}

describe('the revision', () => {
  const original = specSchema.parse(base);

  it('is 8 hexadecimal digits and stays the same from release to release', () => {
    assert.equal(revisionOf(original), '8efc494b');
    assert.equal(templateKey(original), 'e86aff22');
  });

  const sameRevision: readonly (readonly [string, unknown])[] = [
    ['slm.replicas', 3],
    ['llm.replicas', 0],
    ['llm.autoscaling', { minReplicas: 0, maxReplicas: 3, gpuBudget: 8 }],
    ['slm.autoscaling', { maxReplicas: 3 }],
    ['llm.engine', 'SGLang'],
    ['slm.extraArgs', []],
    ['router.strategy', 'llm'],
    ['router.threshold', 1],
    ['router.maxDraftTokens', 2],
    ['router.precision', 'fp32'],
    ['router.strategyOptions', { windowSize: 5 }],
    ['router.lookahead', 'Nested'],
    ['router.maxLookaheadCalls', 2],
    ['router.overrides', { strategies: [] }],
    ['router.limits.maxChoices', 2],
    ['router.modelName', 'other'],
    ['api.service.type', 'LoadBalancer'],
    ['networkPolicy.enabled', false],
    ['podDisruptionBudget.enabled', false],
    ['rollout.strategy', 'InPlace'],
    ['rollout.progressDeadlineSeconds', 60],
    ['suspend', true],
    ['router.precision', 'fp32'],
    ['router.lookahead', 'Nested'],
  ];
  for (const [path, value] of sameRevision) {
    it(`stays when ${path} becomes ${JSON.stringify(value)}, which restarts no pod`, () => {
      assert.equal(revisionOf(changed(path, value)), revisionOf(original));
      assert.equal(templateKey(changed(path, value)), templateKey(original));
    });
  }

  const newRevision: readonly (readonly [string, unknown])[] = [
    ['slm.model', '/models/other'],
    ['llm.model', '/models/other'],
    ['llm.engine', 'CPU'],
    ['llm.image', 'a:b'],
    ['llm.tensorParallelSize', 4],
    ['slm.memFractionStatic', 0.5],
    ['slm.contextLength', 4096],
    ['slm.extraArgs', ['--x']],
    ['slm.resources.limits', { cpu: 1 }],
    ['llm.podTemplate.spec', { nodeName: 'a' }],
    ['slm.priorityClassName', 'high'],
  ];
  for (const [path, value] of newRevision) {
    it(`changes with ${path}`, () => {
      assert.notEqual(revisionOf(changed(path, value)), revisionOf(original));
      assert.notEqual(templateKey(changed(path, value)), templateKey(original));
    });
  }

  it('stays when the router has another image or other resources, but the templates are others', () => {
    for (const spec of [changed('router.image', 'r:2'), changed('router.resources.limits', { memory: '1Gi' })]) {
      assert.equal(revisionOf(spec), revisionOf(original));
      assert.notEqual(templateKey(spec), templateKey(original));
    }
  });

  it('stays when the endpoint is secured or traced otherwise, but the templates are others', () => {
    for (const [path, value] of [
      ['api.auth', { secretName: 'clients' }],
      ['api.tls', { secretName: 'certificate' }],
      ['api.tracing', { endpoint: 'http://collector:4318' }],
    ] as const) {
      assert.equal(revisionOf(changed(path, value)), revisionOf(original), path);
      assert.notEqual(templateKey(changed(path, value)), templateKey(original), path);
    }
  });

  describe('of a checkpoint', () => {
    const network = (router: R2RDeploymentSpecInput['router'], llm = '/models/llm') =>
      specSchema.parse({ slm: base.slm, llm: { model: llm }, router });
    const uri = 'hf://org/repo/router.pt@main';
    const before = network({ checkpoint: { uri } });

    it('stays with the templates for another address, so that it is loaded without a restart', () => {
      for (const other of ['https://models.example/router.pt', '/opt/router.pt', 'hf://org/repo/router.pt@v2']) {
        const after = network({ checkpoint: { uri: other } });
        assert.deepEqual([revisionOf(after), templateKey(after)], [revisionOf(before), templateKey(before)], other);
      }
      assert.equal(revisionOf(before), revisionOf(original));
    });

    it('changes with a claim that nothing else lies on, which only new pods can mount', () => {
      const claimed = network({ checkpoint: { uri: 'pvc://routers/a.pt' } });
      assert.notEqual(revisionOf(claimed), revisionOf(before));
      assert.notEqual(revisionOf(claimed), revisionOf(network({ checkpoint: { uri: 'pvc://others/a.pt' } })));
      const samePlace = network({ checkpoint: { uri: 'pvc://routers/b.pt' } });
      assert.deepEqual([revisionOf(samePlace), templateKey(samePlace)], [revisionOf(claimed), templateKey(claimed)]);
    });

    it('stays with a claim that a model lies on', () => {
      const shared = network({ checkpoint: { uri: 'pvc://weights/a.pt' } }, 'pvc://weights/llm');
      assert.equal(revisionOf(shared), revisionOf(network({}, 'pvc://weights/llm')));
      assert.equal(templateKey(shared), templateKey(network({ checkpoint: { uri } }, 'pvc://weights/llm')));
    });

    it('stays, but with other templates, for what the container of the network gets', () => {
      const tokenSecretRef = { name: 'hub', key: 'token' };
      const others = [
        network({ checkpoint: { uri, tokenSecretRef } }),
        network({ checkpoint: { uri }, precision: 'fp32' }),
        network({ checkpoint: { uri }, precision: 'fp32', device: 'cuda' }),
        original,
      ];
      for (const other of others) assert.equal(revisionOf(other), revisionOf(before));
      assert.equal(new Set([before, ...others].map(templateKey)).size, 5);
    });

    describe('from an R2RRouter', () => {
      const following = (offer: RouterOffer, llm?: string): R2RDeploymentSpec => {
        const spec = network({ checkpoint: { routerRef: { name: 'math' } } }, llm);
        return { ...spec, router: { ...spec.router, offer } };
      };
      const onClaim = following({ claim: 'routers', onOneNode: false });

      it('counts by its claim as the same claim in an address does', () => {
        const addressed = network({ checkpoint: { uri: 'pvc://routers/a.pt' } });
        assert.deepEqual([revisionOf(onClaim), templateKey(onClaim)], [revisionOf(addressed), templateKey(addressed)]);
        assert.notEqual(revisionOf(following({ claim: 'others', onOneNode: false })), revisionOf(onClaim));
        assert.equal(
          revisionOf(following({ claim: 'weights', onOneNode: false }, 'pvc://weights/llm')),
          revisionOf(network({}, 'pvc://weights/llm')),
        );
      });

      it('stays with the templates when a bundle is assigned', () => {
        const assigned = following({ claim: 'routers', onOneNode: false, uri: 'pvc://routers/bundles/aa' });
        assert.deepEqual([revisionOf(assigned), templateKey(assigned)], [revisionOf(onClaim), templateKey(onClaim)]);
      });

      it('stays, but with other templates, when the pods must go to one node or reach an object store otherwise', () => {
        assert.equal(revisionOf(following({ claim: 'routers', onOneNode: true })), revisionOf(onClaim));
        assert.notEqual(templateKey(following({ claim: 'routers', onOneNode: true })), templateKey(onClaim));
        const s3 = [
          {},
          { region: 'eu-west-1' },
          { credentialsSecretName: 'keys' },
          { caSecretName: 'ca' },
          { endpoint: 'https://minio:9000' },
        ];
        const specs = s3.map((access) => following({ onOneNode: false, s3: access }));
        for (const spec of specs) assert.equal(revisionOf(spec), revisionOf(original));
        assert.equal(new Set(specs.map(templateKey)).size, s3.length);
      });
    });

    it('leaves even the templates as they are where the resources of the container are given', () => {
      const resources = { requests: { memory: '2Gi' } };
      const keys = [{ resources }, { resources, checkpoint: { uri } }, { resources, checkpoint: { uri }, precision: 'fp32' as const }];
      assert.equal(new Set(keys.map((router) => templateKey(network(router)))).size, 1);
    });
  });

  it('tells SLM and LLM apart', () => {
    assert.notEqual(revisionOf(specSchema.parse({ slm: base.llm, llm: base.slm })), revisionOf(original));
  });

  it('does not depend on the order of keys', () => {
    const one = changed('slm.resources', { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '1' } });
    const other = changed('slm.resources', { requests: { cpu: '1' }, limits: { memory: '1Gi', cpu: '1' } });
    assert.equal(revisionOf(one), revisionOf(other));
  });

  it('leaves room in every name for a Service and a label, at the longest name', () => {
    const name = 'a'.repeat(maxNameLength);
    const { slm, llm, router } = revisionNames(name, revisionOf(original));
    const all = [slm, llm, router, templateRecordName(name, templateKey(original))];
    for (const each of all) assert.ok(each.length <= 63, each);
  });
});

describe('the router configuration', () => {
  const configured = (router: R2RDeploymentSpecInput['router']) => routerConfig(stored('tiny', { ...base, router }));
  const checkpoint = { uri: '/models/router.pt' };

  it('is complete: a router needs no default of its own', () => {
    assert.deepEqual(routerConfig(stored('tiny', base)), {
      modelName: 'tiny',
      strategy: 'entropy',
      threshold: 0.45,
      strategyOptions: {},
      precision: 'int8',
      device: 'cpu',
      maxDraftTokens: 8,
      lookahead: 'Single',
      maxLookaheadCalls: 4,
      overrides: {},
      limits: {
        maxBodyBytes: 8 * 1024 * 1024,
        requestTimeoutSeconds: 3600,
        maxConcurrentRequests: 256,
        maxQueuedRequests: 1024,
        maxChoices: 8,
      },
      onLLMUnavailable: 'UseSLM',
      llmTimeoutSeconds: 30,
      drainingPodUIDs: [],
    });
  });

  it('is read by a router as it was written', () => {
    for (const router of [
      {},
      { checkpoint, threshold: 0.4, overrides: { strategies: ['slm' as const], maxThreshold: 0.9 } },
      { strategy: 'rolling' as const, strategyOptions: { windowSize: 5 }, precision: 'fp32' as const, lookahead: 'Nested' as const },
    ]) {
      const config = configured(router);
      assert.deepEqual(routerConfigSchema.parse(JSON.parse(JSON.stringify(config))), config);
    }
  });

  it('routes by the network where there is a checkpoint, else by entropy, unless told otherwise', () => {
    assert.equal(configured({ checkpoint }).strategy, 'neural');
    assert.equal(configured({}).strategy, 'entropy');
    assert.equal(configured({ checkpoint, strategy: 'entropy' }).strategy, 'entropy');
  });

  it('has the default threshold with strategy entropy and none with the others: a network brings its own', () => {
    assert.equal(configured({ checkpoint, strategy: 'entropy' }).threshold, 0.45);
    for (const strategy of strategies.filter((each) => each !== 'entropy'))
      assert.equal('threshold' in configured({ checkpoint, strategy }), false, strategy);
    assert.equal(configured({ checkpoint, threshold: 0.3 }).threshold, 0.3);
  });

  it('has int8 on a CPU and fp32 on a GPU unless told otherwise', () => {
    assert.equal(configured({ device: 'cpu' }).precision, 'int8');
    assert.equal(configured({ device: 'cuda' }).precision, 'fp32');
    assert.equal(configured({ device: 'cuda', precision: 'int8' }).precision, 'int8');
  });

  it('names the model after the resource unless told otherwise', () => {
    assert.equal(routerConfig(stored('tiny', base)).modelName, 'tiny');
    assert.equal(routerConfig(stored('tiny', { ...base, router: { modelName: 'r1' } })).modelName, 'r1');
  });

  it('has one digest for one content, and another for another', () => {
    const config = routerConfig(stored('tiny', base), ['b', 'a']);
    const reordered = Object.fromEntries(Object.entries(config).reverse()) as typeof config;
    assert.equal(routerConfigDigest(reordered), routerConfigDigest(config));
    assert.equal(routerConfigDigest(routerConfig(stored('tiny', base), ['a', 'b'])), routerConfigDigest(config));
    assert.notEqual(routerConfigDigest({ ...config, maxDraftTokens: 9 }), routerConfigDigest(config));
  });
});
