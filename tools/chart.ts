/**
 * `npm run chart`: writes the packaged chart, dist/charts/NAME-VERSION.tgz, and beside it the OCI image layout dist/charts/oci that any
 * registry client pushes as it is, for example
 *
 *     crane push dist/charts/oci ghcr.io/r2r-kubernetes/charts/r2r-kubernetes:VERSION
 *     oras cp --from-oci-layout dist/charts/oci:VERSION ghcr.io/r2r-kubernetes/charts/r2r-kubernetes:VERSION
 */
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { chartFolder } from './install/chart.ts';
import { packageChart } from './install/chart-package.ts';
import { ociLayout } from './install/oci-layout.ts';

const root = join(import.meta.dirname, '..');
const output = process.argv[2] ?? join(root, 'dist/charts');
const artifact = packageChart(join(root, chartFolder));
const { name, version } = artifact.metadata;

rmSync(output, { recursive: true, force: true });
const write = (path: string, content: string | Uint8Array) => {
  mkdirSync(dirname(join(output, path)), { recursive: true });
  writeFileSync(join(output, path), content);
};
const archive = `${name}-${version}.tgz`;
write(archive, artifact.archive);
for (const [path, content] of ociLayout(artifact)) write(join('oci', path), content);
console.log(
  `${join(output, archive)}: ${artifact.archive.length} bytes, sha256:${createHash('sha256').update(artifact.archive).digest('hex')}`,
);
console.log(`${join(output, 'oci')}: OCI image layout, tag ${version.replace('+', '_')}`);
