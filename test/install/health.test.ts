/** The judges that GitOps tools ask, on the fixtures of examples/gitops: Argo CD's Lua with our scripts, and kstatus as Flux has it. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse } from 'yaml';
import { goTool, goTools } from '../support/go/go-tool.ts';
import { argoHealth, kstatus } from './judges.ts';
import type { Verdict } from './judges.ts';

interface HealthTest {
  readonly tests: readonly { readonly healthStatus: Verdict; readonly inputPath: string }[];
}

/** By the same rows as in examples/gitops/README.md; a fixture that is in no list here has the first verdict of its Argo status. */
const kstatusOf: Readonly<Record<string, string>> = {
  Healthy: 'Current',
  Progressing: 'InProgress',
  Degraded: 'Failed',
  Suspended: 'InProgress',
};
const exceptions: Readonly<Record<string, string>> = {
  'fell-ill': 'InProgress',
  // what is wished for has been reached, so that nobody waits for it
  'R2RDeployment/suspended': 'Current',
  'R2RDeployment/paused': 'Current',
};

const read = (path: string) => parse(readFileSync(path, 'utf8')) as object;

for (const kind of ['R2RDeployment', 'R2RRouter']) {
  describe(`the health of an ${kind}`, function () {
    this.timeout(60 * 60_000);
    const folder = `examples/gitops/argo-cd/r2r.dev/${kind}`;
    const { tests } = parse(readFileSync(join(folder, 'health_test.yaml'), 'utf8')) as HealthTest;

    before('build the judges', () => goTool(goTools.judges));

    it('has a fixture for each case that Argo CD asks for', () => {
      const names = tests.map(({ inputPath }) => basename(inputPath, '.yaml'));
      for (const name of ['healthy', 'progressing', 'no-status', 'degraded', 'suspended', 'stale-generation'])
        assert.ok(names.includes(name), name);
      const files = globSync(join(folder, 'testdata/*.yaml')).map((path) => basename(path, '.yaml'));
      assert.deepEqual(files.filter((name) => name !== 'deleting').sort(), names.sort());
    });

    it("is what health_test.yaml says, by the script in Argo CD's Lua", async () => {
      const verdicts = await argoHealth(
        join(folder, 'health.lua'),
        tests.map(({ inputPath }) => read(join(folder, inputPath))),
      );
      assert.deepEqual(
        tests.map(({ inputPath }, index) => [inputPath, verdicts[index]]),
        tests.map(({ inputPath, healthStatus }) => [inputPath, healthStatus]),
      );
    });

    it('is the same to kstatus', async () => {
      const verdicts = await kstatus(tests.map(({ inputPath }) => withDefaults(read(join(folder, inputPath)))));
      assert.deepEqual(
        tests.map(({ inputPath }, index) => [inputPath, verdicts[index]?.status]),
        tests.map(({ inputPath, healthStatus: { status } }) => {
          const name = basename(inputPath, '.yaml');
          return [inputPath, exceptions[`${kind}/${name}`] ?? exceptions[name] ?? kstatusOf[status]];
        }),
      );
    });
  });
}

/** As the API server hands it out: the CRD gives a resource without a status one that nobody has observed. */
function withDefaults(object: object): object {
  return { status: { observedGeneration: 0 }, ...object };
}

describe('a resource that is being deleted', function () {
  this.timeout(60 * 60_000);

  it('is Terminating to kstatus', async () => {
    const [verdict] = await kstatus([read('examples/gitops/argo-cd/r2r.dev/R2RDeployment/testdata/deleting.yaml')]);
    assert.equal(verdict?.status, 'Terminating');
  });
});
