import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'cdk8s';
import { parseAllDocuments } from 'yaml';
import { Installation } from '../../install/installation.ts';
import { cachedModels } from '../../src/api/cached-models.ts';
import { fieldManagers } from '../../src/api/names.ts';
import { modelCacheObject, modelJob, modelJobsPolicy } from '../../src/manifests/index.ts';
import type { KubeObject } from '../../src/manifests/index.ts';
import type { ApiServer } from '../api/api-server.ts';
import { apiServer, resourcePath } from '../api/api-server.ts';
import type { Manifest } from '../api/deployments.ts';
import { assertGolden } from './golden.ts';
import { example, options, render, workload } from './rendering.ts';

interface Installed {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

function installation(namespace = 'r2r-system'): readonly Installed[] {
  const images = {
    operatorImage: 'registry.example/r2r/operator:1',
    routerImage: 'registry.example/r2r/router:1',
    trainerImage: 'registry.example/r2r/trainer:1',
  };
  return new Installation(new App(), 'install', { ...images, version: '1', namespace }).toJson() as Installed[];
}

const plurals: Readonly<Record<string, string>> = { NetworkPolicy: 'networkpolicies', PodDisruptionBudget: 'poddisruptionbudgets' };

/** The path of an object for server-side apply. */
function applyPath({ apiVersion, kind, metadata }: Installed | KubeObject, query = ''): string {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const scope = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`;
  const plural = plurals[kind] ?? `${kind.toLowerCase()}s`;
  return `${root}${scope}/${plural}/${metadata.name}?fieldManager=${fieldManagers.children}&force=true&fieldValidation=Strict${query}`;
}

const applyPatch = 'application/apply-patch+yaml';

describe('the install manifest', () => {
  it('is that of the golden file, with the CRDs of crds/ in it', () => {
    const objects = installation();
    assertGolden(
      'install.yaml',
      objects.filter(({ kind }) => kind !== 'CustomResourceDefinition'),
    );
    const definitions = objects.filter(({ kind }) => kind === 'CustomResourceDefinition');
    for (const [index, plural] of ['r2rdeployments', 'r2rrouters'].entries()) {
      const checkedIn = parseAllDocuments(readFileSync(`crds/r2r.dev_${plural}.yaml`, 'utf8'))[0]!.toJSON() as { spec: unknown };
      assert.deepEqual((definitions[index] as unknown as { spec: unknown }).spec, checkedIn.spec);
    }
  });

  it('is written by cdk8s synth, with the images of the version in package.json', function () {
    this.timeout(180_000);
    const folder = mkdtempSync(join(tmpdir(), 'r2r-synth-'));
    try {
      const cdk8s = 'node_modules/cdk8s-cli/bin/cdk8s';
      execFileSync(process.execPath, [cdk8s, 'synth', '--check-upgrade=false', '--output', folder], { stdio: 'pipe' });
      const file = join(folder, 'install.yaml');
      assert.ok(existsSync(file));
      const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
      const text = readFileSync(file, 'utf8');
      for (const image of ['operator', 'router', 'trainer']) assert.ok(text.includes(`ghcr.io/r2r-kubernetes/${image}:${version}\n`));
      assert.equal(parseAllDocuments(text).length, installation().length);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('the installed operator, on a real API server', function () {
  this.timeout(180_000);
  let server: ApiServer;
  let operator: Pick<ApiServer, 'send'>;
  let systemNamespace: string;
  let namespace: string;

  before(async () => {
    server = await apiServer();
    systemNamespace = `r2r-system-${Math.random().toString(36).slice(2, 8)}`;
    namespace = await server.namespace('models');
    for (const object of installation(systemNamespace)) {
      const { status, body } = await server.send('PATCH', applyPath(object), object, applyPatch);
      assert.ok(status <= 201, `${object.kind} ${object.metadata.name}: ${body.message ?? ''}`);
    }
    const tokenPath = `/api/v1/namespaces/${systemNamespace}/serviceaccounts/r2r-operator/token`;
    const token = await server.send('POST', tokenPath, { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} });
    operator = server.as((token.body.status as { token: string }).token);
  });
  after(async () => {
    await server.close();
  });

  for (const file of [
    'r2rdeployment.yaml',
    'r2rdeployment-secured.yaml',
    'r2rdeployment-model-cache.yaml',
    'r1-1.5b-32b.yaml',
    'r1-1.5b-32b-colocated.yaml',
  ]) {
    it(`may apply and delete every child of examples/${file}, and each is valid to the last field`, async () => {
      const { apiVersion, kind, metadata, spec } = example(file);
      const created = await server.send('POST', resourcePath(namespace), {
        apiVersion,
        kind,
        metadata: { name: metadata.name, namespace },
        spec,
      });
      assert.equal(created.status, 201, created.body.message);
      const live = created.body as unknown as Manifest & { metadata: { uid: string } };
      const children = render({ ...example(file), metadata: { name: metadata.name, namespace, uid: live.metadata.uid } });
      for (const child of children) {
        const what = `${child.kind} ${child.metadata.name}`;
        const first = await operator.send('PATCH', applyPath(child), child, applyPatch);
        assert.equal(first.status, 201, `${what}: ${first.body.message ?? ''}`);
        const again = await operator.send('PATCH', applyPath(child), child, applyPatch);
        assert.equal(again.status, 200, `${what}: ${again.body.message ?? ''}`);
        const version = ({ metadata: { resourceVersion } }: { metadata: { resourceVersion: string } }) => resourceVersion;
        assert.equal(version(again.body as never), version(first.body as never), `${what} changes when applied again`);
      }
      for (const child of children) {
        const [path] = applyPath(child).split('?');
        assert.equal((await operator.send('DELETE', path!)).status, 200, child.metadata.name);
      }
    });
  }

  it('makes pods that a namespace of the restricted pod security standard admits', async () => {
    const strict = await server.namespace('strict');
    const label = { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } };
    assert.equal((await server.send('PATCH', `/api/v1/namespaces/${strict}`, label, 'application/merge-patch+json')).status, 200);
    const create = (spec: object) => {
      const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { generateName: 'p-' }, spec };
      return server.send('POST', `/api/v1/namespaces/${strict}/pods?dryRun=All`, pod);
    };
    for (const file of ['r2rdeployment.yaml', 'r2rdeployment-secured.yaml', 'r2rdeployment-model-cache.yaml', 'r1-1.5b-32b.yaml']) {
      for (const role of ['slm', 'llm'] as const) {
        const { status, body } = await create(workload(render(example(file)), role).spec.template.spec);
        assert.equal(status, 201, `${file} ${role}: ${body.message ?? ''}`);
      }
    }
    assert.equal((await create({ containers: [{ name: 'c', image: 'i' }] })).status, 403, 'the namespace enforces nothing');
  });

  it('may make, keep and remove what downloads of models need', async () => {
    const { metadata, spec } = example('r2rdeployment-model-cache.yaml');
    const deployment = { ...example('r2rdeployment-model-cache.yaml'), metadata: { ...metadata, namespace } };
    const [model] = cachedModels(deployment);
    const claim = modelCacheObject(deployment);
    assert.ok(model && claim && spec.modelCache);
    for (const object of [claim, modelJobsPolicy(deployment, options), modelJob(deployment, model, options)]) {
      const what = `${object.kind} ${object.metadata.name}`;
      const [path = ''] = applyPath(object).split('?');
      const made = await operator.send('POST', `${path.replace(/\/[^/]+$/, '')}?fieldValidation=Strict`, object);
      assert.equal(made.status, 201, `${what}: ${made.body.message ?? ''}`);
      assert.equal((await operator.send('GET', path)).status, 200, what);
      if (object === claim) {
        const change = { metadata: { ownerReferences: null } };
        assert.equal((await operator.send('PATCH', path, change, 'application/merge-patch+json')).status, 200, what);
        assert.equal((await operator.send('DELETE', path)).status, 403, `${what} is the garbage collector's to remove`);
      } else assert.equal((await operator.send('DELETE', path)).status, 200, what);
    }
  });

  it('may cache what it reads, write status and events, and hold its lease', async () => {
    const lists = [
      '/apis/r2r.dev/v1alpha1/r2rdeployments',
      '/api/v1/pods',
      '/api/v1/services',
      '/api/v1/configmaps',
      '/api/v1/serviceaccounts',
      '/apis/apps/v1/deployments',
      '/apis/apps/v1/controllerrevisions',
      '/apis/rbac.authorization.k8s.io/v1/roles',
      '/apis/rbac.authorization.k8s.io/v1/rolebindings',
      '/apis/networking.k8s.io/v1/networkpolicies',
      '/apis/policy/v1/poddisruptionbudgets',
    ];
    for (const path of lists) assert.equal((await operator.send('GET', path)).status, 200, path);
    const may = async (verb: string, apiGroup: string, resource: string, inNamespace: string) => {
      const [name, subresource] = resource.split('/');
      const { body } = await operator.send('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes: { verb, group: apiGroup, resource: name, subresource, namespace: inNamespace } },
      });
      return (body.status as { allowed: boolean }).allowed;
    };
    assert.ok(await may('patch', 'r2r.dev', 'r2rdeployments/status', namespace));
    for (const verb of ['create', 'patch']) assert.ok(await may(verb, 'events.k8s.io', 'events', namespace));
    // a kind that the cluster need not have
    for (const verb of ['list', 'watch', 'create', 'patch', 'delete'])
      assert.ok(await may(verb, 'leaderworkerset.x-k8s.io', 'leaderworkersets', namespace));
    for (const verb of ['get', 'create', 'update']) assert.ok(await may(verb, 'coordination.k8s.io', 'leases', systemNamespace));
    assert.ok(!(await may('update', 'coordination.k8s.io', 'leases', namespace)));
  });

  it('may not read secrets, run pods or change the resources it serves', async () => {
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    assert.equal((await operator.send('GET', `/api/v1/namespaces/${namespace}/secrets`)).status, 403);
    assert.equal((await operator.send('POST', `/api/v1/namespaces/${namespace}/pods`, pod)).status, 403);
    assert.equal((await operator.send('DELETE', resourcePath(namespace, 'tiny'))).status, 403);
    const escalation = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'more' },
      rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }],
    };
    const path = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles`;
    assert.equal((await operator.send('POST', path, escalation)).status, 403);
  });
});
