import assert from 'node:assert/strict';
import { cachedModels, withLocalModels } from '../../src/api/cached-models.ts';
import { hubModelFolder, parseHubModel } from '../../src/api/hub-model.ts';
import type { R2RDeploymentSpecInput } from '../../src/api/r2rdeployment.ts';
import { specSchema } from '../../src/api/r2rdeployment.ts';
import { revisionOf, templateKey } from '../../src/api/revision.ts';
import { stored } from './deployments.ts';

const slm = 'hf://Qwen/Qwen3-0.6B@main';
const llm = 'hf://Qwen/Qwen3-8B@v1.0';
const spec = (change: Partial<R2RDeploymentSpecInput> = {}): R2RDeploymentSpecInput => ({
  slm: { model: slm },
  llm: { model: llm },
  modelCache: {},
  ...change,
});

describe('the address of a model on the hub', () => {
  it('has organisation, repository and revision, which is main where it is left out', () => {
    assert.deepEqual(parseHubModel('hf://Qwen/Qwen3-8B@refs/pr/1'), { org: 'Qwen', repo: 'Qwen3-8B', revision: 'refs/pr/1' });
    assert.deepEqual(parseHubModel('hf://Qwen/Qwen3-8B'), { org: 'Qwen', repo: 'Qwen3-8B', revision: 'main' });
    for (const other of [
      'pvc://weights/a',
      '/opt/model',
      'hf://Qwen',
      'hf://Qwen/a/b@main',
      'hf://Qwen/a@',
      'hf://../a@main',
      'hf://Q/a@x y',
    ])
      assert.equal(parseHubModel(other), undefined, other);
  });

  it('has one folder for each model, revision and hub', () => {
    const model = parseHubModel(llm)!;
    const folder = hubModelFolder(model);
    assert.match(folder, /^hub\/Qwen--Qwen3-8B--[0-9a-f]{16}$/);
    assert.equal(folder, 'hub/Qwen--Qwen3-8B--3355e64a99d69d31', 'it stays from release to release: models lie there');
    const others = [hubModelFolder({ ...model, revision: 'main' }), hubModelFolder(model, 'https://mirror.example'), folder];
    assert.equal(new Set(others).size, 3);
    assert.equal(hubModelFolder(model, 'https://mirror.example/'), hubModelFolder(model, 'https://mirror.example'));
    const longest = { org: 'o'.repeat(96), repo: 'r'.repeat(96), revision: 'v'.repeat(128) };
    assert.ok((hubModelFolder(longest).split('/')[1] ?? '').length <= 255);
  });
});

describe('models of a deployment that are downloaded', () => {
  it('lie on the claim that is given, else on the one that is made', () => {
    const [first, second] = cachedModels(stored('qwen', spec({ modelCache: { claim: 'weights' } })));
    assert.match(first?.address ?? '', /^pvc:\/\/weights\/hub\/Qwen--Qwen3-0\.6B--[0-9a-f]{16}$/);
    assert.deepEqual(second?.roles, ['llm']);
    assert.match(cachedModels(stored('qwen', spec()))[0]?.address ?? '', /^pvc:\/\/qwen-models\/hub\//);
  });

  it('are one where both sides have the same', () => {
    const same = cachedModels(stored('qwen', spec({ llm: { model: slm } })));
    assert.deepEqual(
      same.map(({ roles }) => roles),
      [['slm', 'llm']],
    );
  });

  it('are none where no address is one of a hub, and the spec stays as it is', () => {
    const deployment = stored('qwen', { slm: { model: '/a' }, llm: { model: 'pvc://weights/b' } });
    assert.deepEqual(cachedModels(deployment), []);
    assert.equal(withLocalModels(deployment), deployment.spec);
  });

  it('replace their addresses where pods are rendered, and no others', () => {
    const local = withLocalModels(stored('qwen', spec({ llm: { model: '/b' } })));
    assert.match(local.slm.model, /^pvc:\/\/qwen-models\/hub\//);
    assert.equal(local.llm.model, '/b');
  });
});

describe('the revision with models on the hub', () => {
  const of = (change: Partial<R2RDeploymentSpecInput>): string => revisionOf(specSchema.parse(spec(change)));
  const original = of({});

  it('changes with the model, its revision, the claim, the hub and the volume for one node', () => {
    const others = [
      of({ slm: { model: 'hf://Qwen/Qwen3-0.6B@v2' } }),
      of({ modelCache: { claim: 'weights' } }),
      of({ modelCache: { endpoint: 'https://mirror.example' } }),
      of({ modelCache: { accessMode: 'ReadWriteOnce' } }),
    ];
    assert.equal(new Set([original, ...others]).size, 5);
  });

  it('stays, with the templates, for what only downloads are told', () => {
    for (const modelCache of [
      { size: '1Ti' },
      { storageClassName: 'fast' },
      { onDelete: 'Delete' as const },
      { tokenSecretRef: { name: 'hub', key: 'token' } },
      { podTemplate: { spec: { nodeSelector: { a: 'b' } } } },
    ]) {
      assert.equal(of({ modelCache }), original, JSON.stringify(modelCache));
      assert.equal(templateKey(specSchema.parse(spec({ modelCache }))), templateKey(specSchema.parse(spec())));
    }
  });

  it('does not see a cache that no model is in', () => {
    const bare = { slm: { model: '/models/slm' }, llm: { model: '/models/llm' } };
    assert.equal(revisionOf(specSchema.parse({ ...bare, modelCache: { claim: 'weights' } })), revisionOf(specSchema.parse(bare)));
  });
});
