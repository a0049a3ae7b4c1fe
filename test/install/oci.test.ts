/** What `npm run chart` writes, pushed to a registry and pulled by both Helm versions. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import manifest from '../../package.json' with { type: 'json' };
import { goTool, goTools } from '../support/go/go-tool.ts';
import { Helm, helmVersions } from './helm.ts';
import { assertSameObjects } from './objects.ts';

const { version } = manifest;
const write = (folder: string) => execFileSync(process.execPath, ['tools/chart.ts', folder], { stdio: 'pipe' });

describe('the chart as an OCI artefact', function () {
  this.timeout(60 * 60_000);
  const folder = mkdtempSync(join(tmpdir(), 'r2r-oci-'));
  let registry: ChildProcess;
  let address: string;

  before('serve it from a registry', async () => {
    write(join(folder, 'dist'));
    registry = spawn(await goTool(goTools.judges), ['registry', join(folder, 'dist/oci'), 'charts/r2r-kubernetes'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    assert.ok(registry.stdout);
    [address] = (await once(createInterface(registry.stdout), 'line')) as [string];
  });
  after(() => {
    registry.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });

  it('is the same to the last byte when it is written again', () => {
    write(join(folder, 'again'));
    for (const file of [`r2r-kubernetes-${version}.tgz`, 'oci/index.json'])
      assert.deepEqual(readFileSync(join(folder, 'again', file)), readFileSync(join(folder, 'dist', file)));
  });

  for (const major of helmVersions) {
    it(`is pulled by Helm ${major}, which renders of it what it renders of the folder`, async () => {
      const helm = await Helm.of(major);
      const reference = `oci://${address}/charts/r2r-kubernetes`;
      const target = join(folder, `helm${major}`);
      await helm.run(['pull', reference, '--version', version, '--plain-http', '--untar', '--destination', target]);
      assert.deepEqual(readdirSync(join(target, 'r2r-kubernetes')).sort(), readdirSync('charts/r2r-kubernetes').sort());
      assertSameObjects(await helm.template(join(target, 'r2r-kubernetes')), await helm.template('charts/r2r-kubernetes'));
      assert.match(await helm.run(['show', 'chart', reference, '--version', version, '--plain-http']), /^name: r2r-kubernetes$/m);
    });
  }
});
