import assert from 'node:assert/strict';
import type { R2RDeployment, R2RDeploymentSpecInput } from '../../src/api/r2rdeployment.ts';
import type { R2RRouter, R2RRouterSpecInput } from '../../src/api/r2rrouter.ts';
import type { R2RRouterStatus, RouterBundleRecord } from '../../src/api/r2rrouter-status.ts';
import { revisionOf, templateKey } from '../../src/api/revision.ts';
import { routerConfigSchema } from '../../src/api/router-config.ts';
import { followedRouter, offersOf, withOffer } from '../../src/controllers/router-reference.ts';
import { routerConfig } from '../../src/manifests/index.ts';
import { stored } from '../api/deployments.ts';
import { storedRouter } from '../api/routers.ts';

type RouterInput = NonNullable<R2RDeploymentSpecInput['router']>;

const checkpoint = { routerRef: { name: 'math' } };
const follower = (router: RouterInput = {}): R2RDeployment =>
  stored('tiny', { slm: { model: '/models/slm' }, llm: { model: '/models/llm' }, router: { checkpoint, ...router } });

const record = (digest: string, uri: string): RouterBundleRecord => ({
  digest,
  uri,
  hash: 'h',
  gate: 'Passed',
  message: 'good',
  madeAt: '2026-01-01T00:00:00Z',
});
const [first, second] = [record('aa', 'pvc://math-workspace/store/bundles/aa'), record('bb', 'pvc://math-workspace/store/bundles/bb')];

/** An R2RRouter that has made both bundles and assigns one of them. */
function offering(digest?: string, storage: R2RRouterSpecInput['storage'] = {}, history = [second, first]): R2RRouter {
  const spec: R2RRouterSpecInput = { preset: 'tiny', source: { labels: { path: 'pvc://data/labels' } }, storage };
  const others = { name: 'other', digest: 'bb', state: 'Done' as const };
  const status: R2RRouterStatus = {
    history,
    deployments: [others, ...(digest === undefined ? [] : [{ name: 'tiny', digest, state: 'Updating' as const }])],
  };
  return { ...storedRouter('math', spec), status };
}

function resolved(deployment: R2RDeployment, router: R2RRouter | undefined): { deployment: R2RDeployment; message: string | undefined } {
  const resolution = withOffer(deployment, router);
  assert.equal(resolution.problem, undefined);
  return { deployment: resolution.deployment, message: resolution.awaitedBundle?.message };
}

const config = (deployment: R2RDeployment, router: R2RRouter) => routerConfig(resolved(deployment, router).deployment);

describe('a deployment that follows an R2RRouter', () => {
  it('takes the bundle that is assigned to it, and routes by it', () => {
    const { checkpoint: loaded, strategy } = config(follower(), offering('aa'));
    assert.deepEqual([loaded, strategy], [{ uri: first.uri }, 'neural']);
    assert.deepEqual(config(follower(), offering('bb')).checkpoint, { uri: second.uri });
    assert.equal(resolved(follower(), offering('aa')).message, undefined);
  });

  it('keeps the bundle in force while an R2RRouter that was made again has assigned none, but not one it went back from', () => {
    const inForce = (uri: string): R2RDeployment => ({
      ...follower(),
      status: { router: { configDigest: 'c', strategy: 'neural', bundle: { digest: 'aa', uri } } },
    });
    const own = 'pvc://math-workspace/store/math/bundles/aa';
    const anew = { ...offering(), status: {} };
    assert.deepEqual(config(inForce(own), anew).checkpoint, { uri: own });
    assert.equal(config(inForce('pvc://elsewhere/bundles/aa'), anew).strategy, 'entropy');
    const back = { ...anew, status: { deployments: [{ name: 'tiny', state: 'RolledBack' as const, refused: 'aa' }] } };
    assert.equal(config(inForce(own), back).strategy, 'entropy');
  });

  const stores: readonly (readonly [string, R2RRouterSpecInput['storage']])[] = [
    ['pvc://math-workspace/store', {}],
    ['pvc://routers', { bundles: { claim: 'routers' } }],
    ['s3://models/r', { bundles: { s3: { bucket: 'models', region: 'eu-west-1' } } }],
  ];
  for (const [place, storage] of stores) {
    it(`keeps revision and templates from before the first bundle on, whichever is assigned, at ${place}`, () => {
      const history = ['aa', 'bb'].map((digest) => record(digest, `${place}/bundles/${digest}`));
      const specs = [undefined, 'aa', 'bb'].map((digest) => resolved(follower(), offering(digest, storage, history)).deployment.spec);
      assert.equal(new Set(specs.map(revisionOf)).size, 1);
      assert.equal(new Set(specs.map(templateKey)).size, 1);
    });
  }

  describe('while no bundle is assigned', () => {
    const waiting = (router: RouterInput = {}) => config(follower(router), offering());

    it('routes by entropy at its default, and says so', () => {
      const { strategy, threshold, checkpoint: loaded } = waiting();
      assert.deepEqual([strategy, threshold, loaded], ['entropy', 0.45, undefined]);
      const { message } = resolved(follower(), offering());
      assert.equal(message, 'R2RRouter math offers no bundle yet; tokens are routed by entropy until then');
    });

    it('lets what is set for a network wait', () => {
      const router: RouterInput = {
        strategy: 'neural_rolling',
        threshold: 0.9,
        strategyOptions: { windowSize: 5 },
        overrides: { strategies: ['neural', 'slm'], minThreshold: 0.1, maxThreshold: 0.8 },
      };
      const { strategy, threshold, strategyOptions, overrides } = waiting(router);
      assert.deepEqual([strategy, threshold, strategyOptions, overrides], ['entropy', 0.45, {}, { strategies: ['slm'] }]);
      const after = config(follower(router), offering('aa'));
      assert.deepEqual([after.strategy, after.threshold, after.strategyOptions], ['neural_rolling', 0.9, { windowSize: 5 }]);
      assert.deepEqual(after.overrides, router.overrides);
    });

    it('keeps a strategy that needs no network, with what is set for it', () => {
      const rolling = waiting({ strategy: 'rolling', strategyOptions: { windowSize: 5 }, overrides: { strategies: ['neural', 'llm'] } });
      assert.deepEqual(
        [rolling.strategy, rolling.strategyOptions, rolling.overrides],
        ['rolling', { windowSize: 5 }, { strategies: ['llm'] }],
      );
      const entropy = waiting({ strategy: 'entropy', threshold: 1.2, overrides: { maxThreshold: 2 } });
      assert.deepEqual([entropy.strategy, entropy.threshold, entropy.overrides], ['entropy', 1.2, { maxThreshold: 2 }]);
    });

    it('has a configuration that a router takes', () => {
      for (const router of [{}, { strategy: 'neural' as const, threshold: 0.3 }, { strategy: 'llm' as const }]) {
        const written = waiting(router);
        assert.deepEqual(routerConfigSchema.parse(JSON.parse(JSON.stringify(written))), written);
      }
    });

    it('is so, too, for an R2RRouter that has no status at all', () => {
      const { status: _, ...fresh } = offering();
      assert.equal(resolved(follower(), fresh).deployment.spec.router.offer?.claim, 'math-workspace');
    });
  });

  describe('gets at the place where bundles are stored', () => {
    const offer = (storage: R2RRouterSpecInput['storage'], history?: RouterBundleRecord[], digest?: string) =>
      resolved(follower(), offering(digest, storage, history)).deployment.spec.router.offer;

    it('the workspace, on the node of the Jobs unless the volume is for many', () => {
      assert.deepEqual(offer({}), { claim: 'math-workspace', onOneNode: true });
      assert.deepEqual(offer({ workspace: { claim: 'scratch', accessMode: 'ReadWriteMany' } }), { claim: 'scratch', onOneNode: false });
    });

    it('a claim of its own', () => {
      assert.deepEqual(offer({ bundles: { claim: 'routers' } }), { claim: 'routers', onOneNode: false });
    });

    it('an object store', () => {
      const s3 = { endpoint: 'https://minio:9000', region: 'eu-west-1', credentialsSecretName: 'keys', caSecretName: 'ca' };
      assert.deepEqual(offer({ bundles: { s3: { bucket: 'models', prefix: 'r', ...s3 } } }), { onOneNode: false, s3 });
    });

    it('where the assigned bundle is, though newer ones go elsewhere', () => {
      const moved = offer({ bundles: { s3: { bucket: 'models' } } }, [first], 'aa');
      assert.deepEqual([moved?.claim, moved?.onOneNode, moved?.uri], ['math-workspace', true, first.uri]);
      assert.equal(offer({ bundles: { claim: 'routers' } }, [first], 'aa')?.claim, 'math-workspace');
    });
  });

  it('cannot be rendered without its R2RRouter, and says which field and what to do', () => {
    const { problem } = withOffer(follower(), undefined);
    assert.equal(problem?.reason, 'RouterNotFound');
    assert.equal(
      problem.message,
      'spec.router.checkpoint.routerRef.name: there is no R2RRouter math in namespace models; create it, or name another one; running pods stay as they are',
    );
    assert.throws(() => revisionOf(follower().spec), /R2RRouter math of spec\.router\.checkpoint\.routerRef has not been looked up/);
  });

  it('stays as it is when the assigned bundle is nowhere', () => {
    const { problem } = withOffer(follower(), offering('cc'));
    assert.equal(problem?.reason, 'BundleNotFound');
    assert.match(problem.message, /R2RRouter math assigns bundle cc, but its status\.history/);
  });

  it('is looked at again only when storage, assignments or bundles change', () => {
    const router = offering('aa');
    const busy = { ...router, status: { ...router.status, summary: { progress: '37%' } } };
    assert.deepEqual(offersOf(busy), offersOf(router));
    for (const other of [offering('bb'), offering('aa', { bundles: { claim: 'routers' } }), offering('aa', {}, [first])])
      assert.notDeepEqual(offersOf(other), offersOf(router));
  });
});

describe('a deployment that follows none', () => {
  it('is rendered as it is', () => {
    const deployment = follower({ checkpoint: { uri: '/router.pt' } });
    assert.equal(resolved(deployment, undefined).deployment, deployment);
    assert.equal(followedRouter(deployment), undefined);
    assert.equal(followedRouter(follower()), 'models/math');
  });
});
