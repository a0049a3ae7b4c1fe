import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { JsonObject } from '../../src/manifests/index.ts';
import { OverlayError } from '../../src/manifests/index.ts';
import { mergePodSpec } from '../../src/manifests/overlay.ts';

const merge = (rendered: JsonObject, overlay: JsonObject) => mergePodSpec(rendered, overlay, 'podTemplate.spec');

const cases: readonly (readonly [string, JsonObject, JsonObject, JsonObject])[] = [
  ['sets a scalar', { a: 1, b: 2 }, { b: 3 }, { a: 1, b: 3 }],
  [
    'merges maps deeply',
    { securityContext: { runAsUser: 1, runAsGroup: 1 } },
    { securityContext: { runAsUser: 2 } },
    { securityContext: { runAsUser: 2, runAsGroup: 1 } },
  ],
  ['removes a field with null', { a: 1, m: { x: 1, y: 2 } }, { a: null, m: { x: null } }, { m: { y: 2 } }],
  [
    'removes a map with $patch: delete',
    { resources: { limits: { a: '1' }, requests: { b: '1' } } },
    { resources: { limits: { $patch: 'delete' } } },
    { resources: { requests: { b: '1' } } },
  ],
  [
    'takes a map as it is with $patch: replace',
    { nodeSelector: { a: 'b' } },
    { nodeSelector: { $patch: 'replace', c: 'd' } },
    { nodeSelector: { c: 'd' } },
  ],
  ['replaces lists that have no key', { tolerations: [{ key: 'a' }] }, { tolerations: [{ key: 'b' }] }, { tolerations: [{ key: 'b' }] }],
  [
    'merges containers by name',
    { containers: [{ name: 'a', image: 'x' }, { name: 'b' }] },
    { containers: [{ name: 'a', tty: true }] },
    { containers: [{ name: 'a', image: 'x', tty: true }, { name: 'b' }] },
  ],
  [
    'adds new containers behind',
    { containers: [{ name: 'a' }] },
    { containers: [{ name: 'z' }] },
    { containers: [{ name: 'a' }, { name: 'z' }] },
  ],
  [
    'adds new init containers in front, in their order, so that they prepare what the engine reads',
    { initContainers: [{ name: 'engine' }] },
    { initContainers: [{ name: 'one' }, { name: 'two' }] },
    { initContainers: [{ name: 'one' }, { name: 'two' }, { name: 'engine' }] },
  ],
  [
    'removes a list element with $patch: delete',
    { volumes: [{ name: 'a' }, { name: 'b' }] },
    { volumes: [{ name: 'a', $patch: 'delete' }] },
    { volumes: [{ name: 'b' }] },
  ],
  [
    'replaces command and arguments as a whole',
    { containers: [{ name: 'a', args: ['x', 'y'] }] },
    { containers: [{ name: 'a', args: ['z'] }] },
    { containers: [{ name: 'a', args: ['z'] }] },
  ],
  [
    'merges variables by name',
    {
      containers: [
        {
          name: 'a',
          env: [
            { name: 'X', value: '1' },
            { name: 'Y', value: '2' },
          ],
        },
      ],
    },
    {
      containers: [
        {
          name: 'a',
          env: [
            { name: 'X', value: '3' },
            { name: 'Z', value: '4' },
          ],
        },
      ],
    },
    {
      containers: [
        {
          name: 'a',
          env: [
            { name: 'X', value: '3' },
            { name: 'Y', value: '2' },
            { name: 'Z', value: '4' },
          ],
        },
      ],
    },
  ],
  [
    'lets a value take the place of a valueFrom',
    { initContainers: [{ name: 'a', env: [{ name: 'X', valueFrom: { fieldRef: {} } }] }] },
    { initContainers: [{ name: 'a', env: [{ name: 'X', value: '1' }] }] },
    { initContainers: [{ name: 'a', env: [{ name: 'X', value: '1' }] }] },
  ],
  [
    'merges mounts by path',
    { containers: [{ name: 'a', volumeMounts: [{ mountPath: '/a', name: 'x', readOnly: true }] }] },
    {
      containers: [
        {
          name: 'a',
          volumeMounts: [
            { mountPath: '/a', name: 'y' },
            { mountPath: '/b', name: 'z' },
          ],
        },
      ],
    },
    {
      containers: [
        {
          name: 'a',
          volumeMounts: [
            { mountPath: '/a', name: 'y', readOnly: true },
            { mountPath: '/b', name: 'z' },
          ],
        },
      ],
    },
  ],
  [
    'merges ports by number',
    { containers: [{ name: 'a', ports: [{ containerPort: 1, name: 'x' }] }] },
    { containers: [{ name: 'a', ports: [{ containerPort: 1, hostPort: 2 }] }] },
    { containers: [{ name: 'a', ports: [{ containerPort: 1, name: 'x', hostPort: 2 }] }] },
  ],
  [
    'merges within one volume source',
    { volumes: [{ name: 'shm', emptyDir: { medium: 'Memory', sizeLimit: '16Gi' } }] },
    { volumes: [{ name: 'shm', emptyDir: { sizeLimit: '1Gi' } }] },
    { volumes: [{ name: 'shm', emptyDir: { medium: 'Memory', sizeLimit: '1Gi' } }] },
  ],
  [
    'lets another volume source take the place of the rendered one',
    { volumes: [{ name: 'home', emptyDir: {} }] },
    { volumes: [{ name: 'home', hostPath: { path: '/x' } }] },
    { volumes: [{ name: 'home', hostPath: { path: '/x' } }] },
  ],
  [
    'merges topology spread by key and host aliases by address',
    { hostAliases: [{ ip: '1', hostnames: ['a'] }] },
    { hostAliases: [{ ip: '2', hostnames: ['b'] }], topologySpreadConstraints: [{ topologyKey: 'zone', maxSkew: 1 }] },
    {
      hostAliases: [
        { ip: '1', hostnames: ['a'] },
        { ip: '2', hostnames: ['b'] },
      ],
      topologySpreadConstraints: [{ topologyKey: 'zone', maxSkew: 1 }],
    },
  ],
  [
    'removes what null or $patch says also in what it adds',
    {},
    { volumes: [{ name: 'a', csi: { driver: 'd', fsType: null } }] },
    { volumes: [{ name: 'a', csi: { driver: 'd' } }] },
  ],
];

const broken: readonly (readonly [string, JsonObject, RegExp])[] = [
  ['a list that is a map', { containers: { name: 'a' } }, /^podTemplate\.spec\.containers: must be a list whose elements have "name"/],
  [
    'an element without its key',
    { containers: [{ name: 'a', env: [{ value: 'x' }] }] },
    /^podTemplate\.spec\.containers\[0\]\.env\[0\]: needs "name"/,
  ],
  ['an element that is no map', { volumes: ['a'] }, /^podTemplate\.spec\.volumes\[0\]: needs "name"/],
  [
    'an unknown $patch',
    { nodeSelector: { $patch: 'merge' } },
    /^podTemplate\.spec\.nodeSelector\.\$patch: must be replace or delete in a map/,
  ],
];

/** Overlays made of the shapes that matter: keyed lists, plain lists, maps, nulls. */
const names = fc.constantFrom('a', 'b', 'c');
const container = fc.record(
  {
    name: names,
    image: names,
    env: fc.uniqueArray(fc.record({ name: names, value: fc.string() }), { selector: ({ name }) => name }),
    args: fc.array(names),
  },
  { requiredKeys: ['name'] },
);
const overlays = fc
  .record(
    {
      containers: fc.uniqueArray(container, { selector: ({ name }) => name }),
      initContainers: fc.uniqueArray(container, { selector: ({ name }) => name }),
      volumes: fc.uniqueArray(fc.record({ name: names, emptyDir: fc.constant({}) }), { selector: ({ name }) => name }),
      nodeSelector: fc.dictionary(names, fc.option(fc.string())),
      tolerations: fc.array(fc.record({ key: names })),
      hostname: fc.option(names),
    },
    { requiredKeys: [] },
  )
  // fast-check makes some objects without a prototype; JSON has none of those
  .map((each) => JSON.parse(JSON.stringify(each)) as JsonObject);

describe('a pod overlay', () => {
  for (const [what, rendered, overlay, expected] of cases) it(what, () => assert.deepEqual(merge(rendered, overlay), expected));

  for (const [what, overlay, message] of broken) {
    it(`is refused for ${what}, naming the field and the fix`, () => {
      assert.throws(
        () => merge({ containers: [{ name: 'a' }] }, overlay),
        (error) => error instanceof OverlayError && message.test(error.message),
      );
    });
  }

  it('changes nothing when empty', () => {
    fc.assert(fc.property(overlays, (rendered) => assert.deepEqual(merge(rendered, {}), rendered)));
  });

  it('gives the same when merged twice as once, and leaves its arguments alone', () => {
    fc.assert(
      fc.property(overlays, overlays, (rendered, overlay) => {
        const before = structuredClone([rendered, overlay]);
        const once = merge(rendered, overlay);
        assert.deepEqual(merge(once, overlay), once);
        assert.deepEqual([rendered, overlay], before);
      }),
    );
  });

  it('cannot reach the prototype of objects', () => {
    const overlay = JSON.parse('{"nodeSelector": {"__proto__": {"polluted": "yes"}}}') as JsonObject;
    merge({ nodeSelector: {} }, overlay);
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
  });
});
