/** examples/cdk8s as a user has it: the compiled package in node_modules, the example's own compiler and synth, and a real API server. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { run } from '../cluster/commands.ts';
import { controlPlane } from '../cluster/control-plane.ts';
import { until } from '../cluster/progress.ts';
import { controlPlaneTools } from '../cluster/tools.ts';
import { controllerManager } from './controller-manager.ts';
import { kubectlWith } from './ways.ts';
import type { Kubectl } from './ways.ts';

const bin = (path: string) => resolve('node_modules', path);

describe('the cdk8s example', function () {
  this.timeout(10 * 60_000);
  const folder = mkdtempSync(join(tmpdir(), 'r2r-cdk8s-'));

  before('install the package into it', async () => {
    cpSync('examples/cdk8s', folder, { recursive: true });
    const installed = join(folder, 'node_modules/r2r-kubernetes');
    mkdirSync(installed, { recursive: true });
    await run(
      process.execPath,
      [bin('typescript/bin/tsc'), '-p', 'tsconfig.build.json', '--declaration', '--outDir', join(installed, 'dist')],
      {
        timeoutMs: 300_000,
      },
    );
    cpSync('package.json', join(installed, 'package.json'));
    for (const name of ['cdk8s', 'constructs', 'zod', '@types', 'undici-types']) symlinkSync(bin(name), join(folder, 'node_modules', name));
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  const synthesise = () => run(process.execPath, [bin('cdk8s-cli/bin/cdk8s'), 'synth', '--check-upgrade=false'], { cwd: folder });
  const withMain = async (change: (text: string) => string, act: () => Promise<unknown>) => {
    const file = join(folder, 'main.ts');
    const text = readFileSync(file, 'utf8');
    assert.notEqual(change(text), text);
    writeFileSync(file, change(text));
    try {
      await act();
    } finally {
      writeFileSync(file, text);
    }
  };

  it('compiles against the types of the package', async () => {
    await run(process.execPath, [bin('typescript/bin/tsc')], { cwd: folder });
  });

  it('does not compile with a field that is not there', () =>
    withMain(
      (text) => text.replace('gate: { minRecall }', 'gate: { recall: minRecall }'),
      () => {
        const { status, stdout } = spawnSync(process.execPath, [bin('typescript/bin/tsc'), '--pretty', 'false'], {
          cwd: folder,
          encoding: 'utf8',
        });
        assert.notEqual(status, 0);
        assert.match(stdout, /main\.ts\(\d+,\d+\): error .*'recall' does not exist in type/);
        return Promise.resolve();
      },
    ));

  it('is synthesised to one manifest for each stage', async () => {
    await synthesise();
    assert.deepEqual(readdirSync(join(folder, 'dist')).sort(), ['production.k8s.yaml', 'staging.k8s.yaml']);
    for (const stage of ['production', 'staging']) {
      const objects = parseAllDocuments(readFileSync(join(folder, 'dist', `${stage}.k8s.yaml`), 'utf8')).map(
        (each) => each.toJSON() as { kind: string },
      );
      assert.deepEqual(objects.map(({ kind }) => kind).sort(), ['R2RDeployment', 'R2RRouter']);
    }
  });

  it('fails in synth on a wrong value, naming the field', () =>
    withMain(
      (text) => text.replace('minRecall: 0.95', 'minRecall: 1.5'),
      () => assert.rejects(synthesise(), /spec\.gate\.minRecall: /),
    ));

  describe('on a real API server', () => {
    let kubectl: Kubectl;
    let stop: () => void;
    before(async () => {
      const { kubectl: program } = await controlPlaneTools();
      const { kubeconfigFile } = await controlPlane();
      kubectl = kubectlWith(program, kubeconfigFile);
      stop = await controllerManager(kubeconfigFile);
      await kubectl(['apply', '--server-side', '--kustomize', 'crds']);
      await kubectl(['wait', '--for=condition=Established', 'crd/r2rdeployments.r2r.dev', 'crd/r2rrouters.r2r.dev', '--timeout=60s']);
      for (const stage of ['staging', 'production']) await kubectl(['create', 'namespace', stage]);
    });
    after(async () => {
      await kubectl(['delete', 'crd', 'r2rdeployments.r2r.dev', 'r2rrouters.r2r.dev', '--timeout=120s']);
      await kubectl(['delete', 'namespace', 'staging', 'production', '--timeout=120s']);
      stop();
    });

    const dist = ['--filename', join(folder, 'dist')];
    const replicas = () =>
      kubectl([
        'get',
        'r2rdeployment',
        'sums',
        '--namespace',
        'production',
        '--output',
        'jsonpath={.spec.llm.replicas} {.metadata.generation}',
      ]);

    it('is applied, every field known to the CRDs', async () => {
      await synthesise();
      await until('it is taken', 30_000, () => kubectl(['apply', '--validate=strict', ...dist]));
      assert.equal(await replicas(), '2 1');
    });

    it('changes nothing when it is applied again, and what the code changes when that changes', async () => {
      await kubectl(['apply', ...dist]);
      assert.equal(await replicas(), '2 1');
      await withMain(
        (text) => text.replace('llmReplicas: 2', 'llmReplicas: 4'),
        async () => {
          await synthesise();
          await kubectl(['apply', ...dist]);
        },
      );
      assert.equal(await replicas(), '4 2');
    });

    it('is deleted by the same files', async () => {
      await kubectl(['delete', ...dist, '--timeout=60s']);
      assert.equal(await kubectl(['get', 'r2rdeployments,r2rrouters', '--all-namespaces', '--output', 'name']), '');
    });
  });
});
