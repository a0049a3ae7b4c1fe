import manifest from '../../package.json' with { type: 'json' };
import { publishedImages } from '../../install/images.ts';
import { argoConfigMap } from './argo-cd.ts';
import { chartFiles } from './chart.ts';
import { kustomizeFiles } from './kustomize.ts';

/** Everything that is made from install/ and checked in, by path below the repository. */
export function installFiles(): Readonly<Record<string, string>> {
  const { version } = manifest;
  return { ...chartFiles(version), ...kustomizeFiles(version, publishedImages(version)), ...argoConfigMap() };
}
