import { Buffer } from 'node:buffer';
import { globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parse } from 'yaml';
import type { ChartArtifact } from './oci-layout.ts';
import { tar } from './tar.ts';

/** A chart's folder packaged as `helm package` does it, but so that the same files give the same bytes. */
export function packageChart(folder: string): ChartArtifact {
  const metadata = parse(readFileSync(join(folder, 'Chart.yaml'), 'utf8')) as ChartArtifact['metadata'];
  const files = new Map<string, Buffer>();
  for (const path of globSync('**', { cwd: folder })) {
    const file = join(folder, path);
    if (statSync(file).isFile()) files.set(`${metadata.name}/${path}`, readFileSync(file));
  }
  return { metadata, archive: gzipSync(tar(files), { level: 9 }) };
}
