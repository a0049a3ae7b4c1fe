import assert from 'node:assert/strict';
import { placementRules } from '../../src/api/placement-spec.ts';
import type { ApiServer } from './api-server.ts';
import { apiServer, resourcePath } from './api-server.ts';
import { manifest, set } from './deployments.ts';

type Change = readonly [path: string, value: unknown];

/** The changes to a valid unit or group: [sentence, changes, what the message must name: the field and the fix]. */
const wrongUnits: readonly (readonly [string, readonly Change[], readonly RegExp[]])[] = [
  ['two LLMs in a pod', [['spec.llm.replicas', 2]], [/llm\.replicas: with placement Colocated/, /slm\.replicas/]],
  ['no LLM in a pod', [['spec.llm.replicas', 0]], [/llm\.replicas: with placement Colocated/, /leave it at 1/]],
  ['an LLM that spans nodes', [['spec.llm.nodes', 2]], [/llm\.nodes: with placement Colocated a unit is one pod/, /leave it out/]],
  ['two kinds of engines', [['spec.slm.engine', 'CPU']], [/llm\.engine: with placement Colocated/, /the same engine for slm and llm/]],
  [
    'an SLM over more GPUs than there are',
    [['spec.slm.tensorParallelSize', 4]],
    [/slm\.tensorParallelSize/, /at most llm\.tensorParallelSize/],
  ],
  [
    'an SLM over more GPUs than its LLM',
    [
      ['spec.slm.tensorParallelSize', 2],
      ['spec.llm.tensorParallelSize', 1],
    ],
    [/slm\.tensorParallelSize/, /at most llm\.tensorParallelSize/],
  ],
  ['an image for the LLM', [['spec.llm.image', 'a:b']], [/llm\.image: with placement Colocated/, /slm\.image/]],
  [
    'two images',
    [
      ['spec.slm.image', 'a:c'],
      ['spec.llm.image', 'a:b'],
    ],
    [/llm\.image/, /leave this out/],
  ],
  ['resources for the LLM', [['spec.llm.resources.limits', { cpu: 1 }]], [/llm\.resources: with placement Colocated/, /slm\.resources/]],
  [
    'an overlay for LLM pods',
    [['spec.llm.podTemplate.spec', { nodeName: 'a' }]],
    [/llm\.podTemplate: with placement Colocated/, /slm\.podTemplate/],
  ],
  ['an unknown placement', [['spec.placement', 'Together']], [/spec\.placement/, /supported values: "Disaggregated", "Colocated"/]],
];

const wrongGroups: typeof wrongUnits = [
  ['no node at all', [['spec.llm.nodes', 0]], [/spec\.llm\.nodes/, /greater than or equal to 1/]],
  ['17 nodes', [['spec.llm.nodes', 17]], [/spec\.llm\.nodes/, /less than or equal to 16/]],
  [
    'three GPUs on two nodes',
    [['spec.llm.tensorParallelSize', 3]],
    [/spec\.llm/, /nodes: each node gets an equal share/, /a multiple of nodes/],
  ],
  ['two GPUs on four nodes', [['spec.llm.nodes', 4]], [/nodes: each node gets an equal share of the GPUs/]],
  ['a CPU engine over nodes', [['spec.llm.engine', 'CPU']], [/nodes: the CPU engine does not split a model/, /set it to 1/]],
];

describe('the API server, given a placement', function () {
  this.timeout(180_000);
  let server: ApiServer;
  let namespace: string;

  before(async () => {
    server = await apiServer();
    namespace = await server.namespace('placement');
  });
  after(() => server.close());

  const object = (name: string, changes: readonly Change[]) => {
    const made = manifest(name, namespace);
    set(made, 'spec.slm.engine', 'SGLang');
    for (const [path, value] of changes) set(made, path, value);
    return made;
  };
  const unit = (name: string, ...changes: Change[]) =>
    object(name, [['spec.placement', 'Colocated'], ['spec.llm.replicas', 1], ...changes]);
  const group = (name: string, ...changes: Change[]) => object(name, [['spec.llm.nodes', 2], ...changes]);
  const create = (body: object) => server.send('POST', `${resourcePath(namespace)}?fieldValidation=Strict`, body);

  for (const [index, good] of [
    () => unit('unit-0'),
    () => unit('unit-1', ['spec.slm.replicas', 4], ['spec.slm.image', 'a:b'], ['spec.llm.image', 'a:b']),
    () => unit('unit-2', ['spec.slm.tensorParallelSize', 2], ['spec.slm.podTemplate.spec', { nodeName: 'a' }]),
    () => unit('unit-3', ['spec.slm.engine', 'CPU'], ['spec.llm.engine', 'CPU']),
    () => group('group-4'),
    () => group('group-5', ['spec.llm.tensorParallelSize', 16], ['spec.llm.nodes', 4]),
  ].entries()) {
    it(`takes right one number ${index + 1}`, async () => {
      const { status, body } = await create(good());
      assert.equal(status, 201, body.message);
    });
  }

  for (const [make, kind, wrong] of [
    [unit, 'a unit', wrongUnits],
    [group, 'a group', wrongGroups],
  ] as const) {
    for (const [index, [sentence, changes, expected]] of wrong.entries()) {
      it(`refuses ${kind} with ${sentence}, naming the field and the fix`, async () => {
        const { status, body } = await create(make(`wrong-${index}`, ...changes));
        assert.equal(status, 422, `it was answered ${status}: ${body.message ?? ''}`);
        for (const pattern of expected) assert.match(body.message ?? '', pattern);
      });
    }
  }

  it('refuses to scale the LLMs of units, as kubectl scale and autoscalers would', async () => {
    assert.equal((await create(unit('scaled'))).status, 201);
    const path = `${resourcePath(namespace, 'scaled')}/scale`;
    const { status, body } = await server.send('PATCH', path, { spec: { replicas: 2 } }, 'application/merge-patch+json');
    assert.equal(status, 422, body.message);
    assert.match(body.message ?? '', /llm\.replicas: with placement Colocated/);
  });

  it('takes another placement for a stored resource, which is another revision', async () => {
    assert.equal((await create(object('moved', [['spec.llm.replicas', 1]]))).status, 201);
    const patch = { spec: { placement: 'Colocated' } };
    const { status, body } = await server.send('PATCH', resourcePath(namespace, 'moved'), patch, 'application/merge-patch+json');
    assert.equal(status, 200, body.message);
  });
});

describe('the rules of a placement', () => {
  it('speak of autoscaling once', () => {
    const messages = placementRules.map(({ rule, message }) => `${rule}: ${message}`);
    const added = messages.filter((each) => each.includes('autoscaling'));
    assert.equal(added.length, 1);
    assert.match(
      added[0]!,
      /^self\.placement != 'Colocated' \|\| !has\(self\.llm\.autoscaling\): llm\.autoscaling: with placement Colocated/,
    );
  });
});
