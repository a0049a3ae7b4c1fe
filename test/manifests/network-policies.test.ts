import assert from 'node:assert/strict';
import { cachedModels } from '../../src/api/cached-models.ts';
import { selectorLabels } from '../../src/api/names.ts';
import { revisionOf } from '../../src/api/revision.ts';
import type { KubeObject } from '../../src/manifests/index.ts';
import { jobsNetworkPolicy, modelJob, modelJobsPolicy, operatorLabels } from '../../src/manifests/index.ts';
import { stored } from '../api/deployments.ts';
import { storedRouter } from '../api/routers.ts';
import { example, options, render, workload } from './rendering.ts';
import { jobOptions, jobOf, renderRouter } from './router-rendering.ts';

type Labels = Readonly<Record<string, string>>;
interface Selector {
  readonly matchLabels?: Labels;
}
interface Policy {
  readonly metadata: { readonly namespace: string };
  readonly spec: {
    readonly podSelector: Selector;
    readonly policyTypes: readonly string[];
    readonly ingress?: readonly {
      readonly from?: readonly { readonly podSelector?: Selector; readonly namespaceSelector?: Selector }[];
      readonly ports?: readonly { readonly port: number; readonly protocol: string }[];
    }[];
  };
}
interface Pod {
  readonly namespace: string;
  readonly labels: Labels;
}

const matches = (selector: Selector, labels: Labels) =>
  Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);

/** What a network plug-in that enforces policies decides (networking.k8s.io/v1, ingress; matchLabels are all we use). */
function allowed(policies: readonly Policy[], from: Pod, to: Pod, port: number): boolean {
  const applying = policies.filter(({ metadata, spec }) => metadata.namespace === to.namespace && matches(spec.podSelector, to.labels));
  if (applying.length === 0) return true;
  return applying.some(({ metadata, spec }) =>
    (spec.ingress ?? []).some(
      (rule) =>
        (!rule.ports || rule.ports.some((each) => each.port === port && each.protocol === 'TCP')) &&
        (!rule.from ||
          rule.from.some(({ podSelector = {}, namespaceSelector }) => {
            const rightNamespace = namespaceSelector
              ? matches(namespaceSelector, { 'kubernetes.io/metadata.name': from.namespace })
              : from.namespace === metadata.namespace;
            return rightNamespace && matches(podSelector, from.labels);
          })),
    ),
  );
}

const policiesOf = (objects: readonly KubeObject[]) =>
  objects.filter(({ kind }) => kind === 'NetworkPolicy') as unknown as readonly Policy[];

describe('the network policies', () => {
  const deployment = stored('tiny', {
    slm: { model: '/a' },
    llm: { model: '/b' },
    networkPolicy: { monitoringNamespace: 'monitoring' },
  });
  const next = stored('tiny', { ...deployment.spec, llm: { model: '/c' } });
  const objects = render(deployment);
  const policies = [...policiesOf(objects), ...policiesOf(render(next))];

  const pod = (role: 'slm' | 'llm', rendered = objects): Pod => ({
    namespace: 'models',
    labels: workload(rendered, role).spec.template.metadata.labels,
  });
  const router = pod('slm');
  const llm = pod('llm');
  const others = {
    'the router of the next revision': pod('slm', render(next)),
    'the router of another R2RDeployment': pod('slm', render(stored('other', deployment.spec))),
    'a router in another namespace': { ...router, namespace: 'elsewhere' },
    'another LLM pod': llm,
    'a client in the same namespace': { namespace: 'models', labels: { app: 'chat' } },
    'a client elsewhere': { namespace: 'web', labels: { app: 'chat' } },
    'the operator': { namespace: 'r2r-system', labels: operatorLabels },
    'another pod beside the operator': { namespace: 'r2r-system', labels: {} },
    'a pod that calls itself operator elsewhere': { namespace: 'web', labels: operatorLabels },
    'Prometheus in the monitoring namespace': { namespace: 'monitoring', labels: { app: 'prometheus' } },
  } satisfies Record<string, Pod>;

  it('let the routers of a revision call its LLM pods', () => {
    assert.equal(allowed(policies, router, llm, 30_000), true);
  });

  for (const [who, from] of Object.entries(others)) {
    it(`let ${who} call the API of a router but no engine`, () => {
      assert.equal(allowed(policies, from, router, 8000), true);
      assert.equal(allowed(policies, from, router, 30_000), false);
      assert.equal(allowed(policies, from, llm, 30_000), false);
    });
    const mayScrape = who === 'the operator' || who === 'Prometheus in the monitoring namespace';
    it(`${mayScrape ? 'let' : 'keep'} ${who} ${mayScrape ? 'read' : 'from'} a router's metrics`, () => {
      assert.equal(allowed(policies, from, router, 9090), mayScrape);
    });
  }

  it('keep all but the operator from metrics when no monitoring namespace is named', () => {
    const silent = policiesOf(render(stored('tiny', { slm: { model: '/a' }, llm: { model: '/b' } })));
    assert.equal(allowed(silent, others['Prometheus in the monitoring namespace'], router, 9090), false);
    assert.equal(allowed(silent, others['the operator'], router, 9090), true);
  });

  for (const file of ['r2rdeployment.yaml', 'r2rdeployment-secured.yaml', 'r1-1.5b-32b.yaml']) {
    it(`leave no pod of examples/${file} open: each is closed but for what a rule lets in`, () => {
      const rendered = render(example(file));
      const workloads = rendered.filter(({ spec }) => (spec as { template?: object } | undefined)?.template !== undefined);
      assert.ok(workloads.length >= 2);
      for (const { metadata, spec } of workloads as unknown as readonly {
        metadata: Pod & { name: string };
        spec: { template: { metadata: Pod } };
      }[]) {
        const { labels } = spec.template.metadata;
        const applying = policiesOf(rendered).filter((policy) => matches(policy.spec.podSelector, labels));
        assert.ok(
          applying.some((policy) => policy.spec.policyTypes.includes('Ingress')),
          metadata.name,
        );
        assert.equal(allowed(policiesOf(rendered), others['a client elsewhere'], { namespace: metadata.namespace, labels }, 12_345), false);
      }
    });
  }

  it('are not there when the spec switches them off', () => {
    const off = render(stored('tiny', { slm: { model: '/a' }, llm: { model: '/b' }, networkPolicy: { enabled: false } }));
    assert.deepEqual(policiesOf(off), []);
  });

  it('name the namespace the operator runs in', () => {
    const moved = policiesOf(render(deployment, { ...options, operatorNamespace: 'platform' }));
    assert.equal(allowed(moved, { namespace: 'platform', labels: operatorLabels }, router, 9090), true);
    assert.equal(allowed(moved, others['the operator'], router, 9090), false);
  });
});

describe('the network policies of an LLM that spans nodes', () => {
  const deployment = stored('tiny', { slm: { model: '/a' }, llm: { model: '/b', nodes: 2 } });
  const objects = render(deployment);
  const policies = policiesOf(objects);
  const group = objects.find(({ kind }) => kind === 'LeaderWorkerSet') as unknown as {
    spec: { leaderWorkerTemplate: Record<'leaderTemplate' | 'workerTemplate', { metadata: { labels: Labels } }> };
  };
  const podOf = (template: 'leaderTemplate' | 'workerTemplate'): Pod => ({
    namespace: 'models',
    labels: group.spec.leaderWorkerTemplate[template].metadata.labels,
  });
  const [leader, worker] = [podOf('leaderTemplate'), podOf('workerTemplate')];
  const router: Pod = { namespace: 'models', labels: workload(objects, 'slm').spec.template.metadata.labels };
  const stranger: Pod = { namespace: 'models', labels: { app: 'chat' } };

  it('let its pods speak with each other on any port: NCCL takes what it gets', () => {
    for (const [from, to] of [
      [leader, worker],
      [worker, leader],
      [worker, worker],
    ] as const)
      for (const port of [30_003, 45_678]) assert.equal(allowed(policies, from, to, port), true);
  });

  it('let routers call the leader, and nobody a worker', () => {
    assert.equal(allowed(policies, router, leader, 30_000), true);
    assert.equal(allowed(policies, router, leader, 30_003), false);
    for (const from of [router, stranger]) assert.equal(allowed(policies, from, worker, 30_000), false);
    assert.equal(allowed(policies, stranger, leader, 30_000), false);
  });
});

describe('the network policy of a Colocated unit', () => {
  it('closes the ports of both engines and of their launcher to everybody else', () => {
    const objects = render(stored('tiny', { placement: 'Colocated', slm: { model: '/a' }, llm: { model: '/b' } }));
    const unit: Pod = { namespace: 'models', labels: workload(objects, 'slm').spec.template.metadata.labels };
    const policies = policiesOf(objects);
    for (const from of [unit, { namespace: 'models', labels: { app: 'chat' } }, { namespace: 'r2r-system', labels: operatorLabels }]) {
      for (const port of [30_000, 30_001, 30_002]) assert.equal(allowed(policies, from, unit, port), false);
      assert.equal(allowed(policies, from, unit, 8000), true);
    }
  });
});

describe('the selectors', () => {
  const deployment = stored('tiny', { slm: { model: '/a' }, llm: { model: '/b' } });
  const revision = revisionOf(deployment.spec);
  const objects = render(deployment);
  const slm = workload(objects, 'slm').spec;
  const llm = workload(objects, 'llm').spec;
  const selectorOf = (name: string) =>
    (objects.find(({ kind, metadata }) => kind === 'Service' && metadata.name === name)?.spec as { selector: Labels } | undefined)
      ?.selector;

  it('of each Deployment match its own pods only', () => {
    for (const [own, other] of [
      [slm, llm],
      [llm, slm],
    ] as const) {
      assert.ok(matches(own.selector, own.template.metadata.labels));
      assert.ok(!matches(own.selector, other.template.metadata.labels));
    }
  });

  it('of the Services match the SLM pods for clients and the LLM pods for routers', () => {
    assert.deepEqual(selectorOf('tiny'), selectorLabels('tiny', revision, 'slm'));
    assert.deepEqual(selectorOf(`tiny-${revision}-llm`), selectorLabels('tiny', revision, 'llm'));
    assert.ok(matches({ matchLabels: selectorOf('tiny')! }, slm.template.metadata.labels));
  });
});

describe("the network policy of a router's Jobs", () => {
  const routerWith = (jobs: object) =>
    storedRouter('tiny', { preset: 'tiny', source: { pipeline: { datasets: [{ preset: 'aime' }] } }, jobs });
  const watched = routerWith({ networkPolicy: { monitoringNamespace: 'monitoring' } });
  const step: Pod = {
    namespace: 'models',
    labels: jobOf(renderRouter(watched), 'respond').spec.template.metadata.labels,
  };
  const prometheus: Pod = { namespace: 'monitoring', labels: { app: 'prometheus' } };
  const operator: Pod = { namespace: jobOptions.operatorNamespace, labels: operatorLabels };
  const neighbours: readonly Pod[] = [
    { namespace: 'models', labels: { app: 'prometheus' } },
    { namespace: jobOptions.operatorNamespace, labels: { app: 'other' } },
    step,
  ];
  const policiesOfJobs = (jobs: object) => [jobsNetworkPolicy(routerWith(jobs), jobOptions)] as unknown as readonly Policy[];
  const policies = policiesOfJobs({ networkPolicy: { monitoringNamespace: 'monitoring' } });

  it('lets the operator and the monitoring namespace ask a step, and nobody else', () => {
    for (const from of [operator, prometheus]) assert.equal(allowed(policies, from, step, 9090), true);
    for (const from of neighbours) assert.equal(allowed(policies, from, step, 9090), false);
  });

  it('lets nobody ask its model server', () => {
    for (const from of [operator, prometheus, ...neighbours]) assert.equal(allowed(policies, from, step, 30_000), false);
  });

  it('keeps all but the operator from it when no monitoring namespace is named', () => {
    const silent = policiesOfJobs({});
    assert.equal(allowed(silent, prometheus, step, 9090), false);
    assert.equal(allowed(silent, operator, step, 9090), true);
  });
});

describe('the network policy of downloads', () => {
  const deployment = stored('tiny', { slm: { model: 'hf://org/slm' }, llm: { model: '/b' }, modelCache: {} });
  const policy = modelJobsPolicy(deployment, options) as unknown as Policy & { readonly spec: { readonly egress: readonly object[] } };
  const [model] = cachedModels(deployment);
  const { template } = (modelJob(deployment, model!, options) as unknown as { spec: { template: { metadata: { labels: Labels } } } }).spec;
  const download: Pod = { namespace: 'models', labels: template.metadata.labels };
  const operator: Pod = { namespace: 'r2r-system', labels: operatorLabels };

  it('lets the operator ask how far they are, and nobody else', () => {
    assert.equal(allowed([policy], operator, download, 9090), true);
    for (const from of [download, { namespace: 'r2r-system', labels: {} }, { namespace: 'models', labels: { app: 'chat' } }])
      assert.equal(allowed([policy], from, download, 9090), false);
  });

  it('lets them out to anyone, also where the namespace is closed', () => {
    assert.deepEqual(policy.spec.policyTypes, ['Ingress', 'Egress']);
    assert.deepEqual(policy.spec.egress, [{}]);
  });

  it('is for no pod that answers, and their pods are behind no Service', () => {
    const objects = render(deployment);
    for (const role of ['slm', 'llm'] as const)
      assert.ok(!matches(policy.spec.podSelector, workload(objects, role).spec.template.metadata.labels));
    for (const { kind, spec } of objects)
      if (kind === 'Service') assert.ok(!matches({ matchLabels: (spec as { selector: Labels }).selector }, download.labels));
  });
});
