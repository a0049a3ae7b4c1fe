import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { engineFlags } from '../../src/cli/pipeline-engines.ts';
import { bundleSpecSchema, pipelineBundleFlags } from '../../src/cli/pipeline-bundle.ts';
import { pipelineRunFlags } from '../../src/cli/pipeline-run.ts';
import { makeSpec } from '../../src/pipeline/run-step.ts';
import { bundleFormat, stepHash, stepNames, type StepName, type StepSpec } from '../../src/pipeline/step-identity.ts';
import { stepDefinition } from '../../src/pipeline/steps.ts';

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly template: { readonly spec: { readonly containers: readonly { readonly name: string; readonly args: readonly string[] }[] } };
  };
}

const manifests = globSync('test/golden/router-*.yaml').flatMap((file) =>
  parseAllDocuments(readFileSync(file, 'utf8')).map((document) => ({ file, manifest: document.toJS() as Manifest })),
);
const stepOf = ({ metadata }: Manifest): StepName | undefined => stepNames.find((step) => step === metadata.labels['r2r.dev/step']);

describe("a router's Jobs", () => {
  for (const { file, manifest } of manifests) {
    const step = stepOf(manifest);
    if (!step) continue;
    const { kind, metadata, data, spec } = manifest;
    if (kind === 'ConfigMap')
      it(`${file}: ${metadata.name} names its parameters as the step does, defaults included`, async () => {
        const given = JSON.parse(data?.['spec.json'] ?? '') as StepSpec;
        const complete = makeSpec(await stepDefinition(step), given.params, given.inputs);
        assert.deepEqual(complete, given);
        assert.equal(stepHash(complete), metadata.labels['r2r.dev/step-hash']);
      });
    if (kind === 'Job')
      it(`${file}: ${metadata.name} is a command line of r2r pipeline run, with the models that the step asks for`, async () => {
        const [program, command, ...args] = spec?.template.spec.containers.find(({ name }) => name === 'step')?.args ?? [];
        assert.deepEqual([program, command], ['pipeline', 'run']);
        const { values } = parseArgs({ args, options: pipelineRunFlags });
        const url = (engine: string) => engine.replace('$(POD_IP)', '10.0.0.1');
        const given = engineFlags(values.engine?.map(url), values.model).map(({ role }) => role);
        assert.deepEqual([...given].sort(), [...(await stepDefinition(step)).engines].sort());
      });
  }

  const bundles = manifests.filter(({ manifest }) => manifest.metadata.labels['r2r.dev/step'] === 'bundle');
  for (const { file, manifest } of bundles) {
    const { kind, metadata, data, spec } = manifest;
    if (kind === 'ConfigMap')
      it(`${file}: ${metadata.name} is what r2r pipeline bundle knows the step by`, () => {
        const given = bundleSpecSchema.parse(JSON.parse(data?.['spec.json'] ?? ''));
        assert.equal(given.format, bundleFormat);
        assert.equal(stepHash(given), metadata.labels['r2r.dev/step-hash']);
        assert.ok((given.inputs.train === undefined) !== (given.params['checkpoint'] === undefined));
      });
    if (kind === 'Job')
      it(`${file}: ${metadata.name} is a command line of r2r pipeline bundle`, () => {
        const [program, command, ...args] = spec?.template.spec.containers.find(({ name }) => name === 'step')?.args ?? [];
        assert.deepEqual([program, command], ['pipeline', 'bundle']);
        const { values } = parseArgs({ args, options: pipelineBundleFlags });
        assert.deepEqual(
          engineFlags([], values.model).map(({ role }) => role),
          ['slm'],
        );
        assert.match(values.store ?? '', /^(\/|s3:\/\/)/);
        assert.equal(values.store?.startsWith('/'), values['store-uri']?.startsWith('pvc://') ?? false);
      });
  }
  it('have a bundle Job in every golden file', () => {
    assert.equal(bundles.length, 2 * new Set(manifests.map(({ file }) => file)).size);
  });
});
