import assert from 'node:assert/strict';
import { sglangCpuArgs, sglangEnvironment } from '../../tools/sglang/on-cpu.ts';
import { example, render, workload } from '../manifests/rendering.ts';

const objects = render(example('r2rdeployment-sglang-cpu.yaml'));

for (const role of ['slm', 'llm'] as const) {
  describe(`the ${role} pod of examples/r2rdeployment-sglang-cpu.yaml`, () => {
    const { spec } = workload(objects, role).spec.template;
    const engine = [...(spec.initContainers ?? []), ...spec.containers].find(({ name }) => name === 'engine')!;

    it('asks for no GPU and keeps its other limits', () => {
      assert.deepEqual(engine.resources.limits, { memory: '6Gi' });
    });

    it('has the flags of the servers that tests start', () => {
      const start = engine.args.indexOf(sglangCpuArgs[0] ?? '');
      assert.deepEqual(engine.args.slice(start, start + sglangCpuArgs.length), sglangCpuArgs);
    });

    it('has their variables', () => {
      const given = Object.fromEntries((engine.env ?? []).map(({ name, value }) => [name, value]));
      assert.deepEqual({ ...given, ...sglangEnvironment }, given);
    });

    it('mounts the packages read-only from the claim, and still has every mount of a GPU pod', () => {
      assert.deepEqual(spec.volumes.find(({ name }) => name === 'sglang')?.persistentVolumeClaim, { claimName: 'sglang', readOnly: true });
      const paths = engine.volumeMounts.map(({ mountPath, readOnly }) => `${mountPath}${readOnly ? ' (read-only)' : ''}`);
      assert.deepEqual(paths, ['/tmp', '/home/r2r', '/dev/shm', '/opt/sglang (read-only)']);
    });
  });
}
