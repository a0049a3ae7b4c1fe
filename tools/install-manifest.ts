import { App, Yaml } from 'cdk8s';
import manifest from '../package.json' with { type: 'json' };
import { Installation } from '../install/installation.ts';
import { imageNames } from '../test/cluster/images.ts';

/** What `npm run synth` writes to dist/install.yaml, as text, with the images that are built here. */
export function installManifest(): string {
  const chart = new Installation(new App(), 'install', {
    version: manifest.version,
    operatorImage: imageNames.operator,
    routerImage: imageNames.router,
    trainerImage: imageNames.trainer,
  });
  const objects: unknown[] = chart.toJson();
  return Yaml.stringify(...objects);
}
