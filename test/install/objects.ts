import assert from 'node:assert/strict';
import manifest from '../../package.json' with { type: 'json' };
import { publishedImages } from '../../install/images.ts';
import type { InstallationOptions } from '../../install/installation.ts';
import { monitoringObjects } from '../../install/monitoring/index.ts';
import type { MonitoringOptions } from '../../install/monitoring/index.ts';
import type { InstalledObject } from '../../tools/install/objects.ts';
import { installedObjects } from '../../tools/install/objects.ts';

/** What `npm run synth` writes, as objects; options win over what it has. */
export function synthesised(options: Partial<InstallationOptions> = {}): readonly InstalledObject[] {
  const { operator, router, trainer } = publishedImages(manifest.version);
  const images = { operatorImage: operator, routerImage: router, trainerImage: trainer };
  const objects = installedObjects({ ...images, version: manifest.version, ...options });
  return JSON.parse(JSON.stringify(objects)) as InstalledObject[];
}

/** What `npm run synth` writes of monitoring, as objects. */
export function monitoring(options: MonitoringOptions = {}): readonly InstalledObject[] {
  return JSON.parse(JSON.stringify(monitoringObjects(options))) as InstalledObject[];
}

const identity = ({ kind, metadata }: InstalledObject) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;

/** Compares object by object, whatever their order. */
export function assertSameObjects(actual: readonly InstalledObject[], expected: readonly InstalledObject[]): void {
  assert.deepEqual(actual.map(identity).sort(), expected.map(identity).sort());
  const byIdentity = new Map(expected.map((each) => [identity(each), each]));
  for (const each of actual) assert.deepEqual(each, byIdentity.get(identity(each)), identity(each));
}

/** Without the annotation that has Helm leave an object behind. */
export function withoutKeep(objects: readonly InstalledObject[]): readonly InstalledObject[] {
  return objects.map((each) => {
    const { 'helm.sh/resource-policy': _, ...annotations } = each.metadata.annotations ?? {};
    const { annotations: __, ...metadata } = each.metadata;
    return { ...each, metadata: { ...metadata, ...(Object.keys(annotations).length > 0 && { annotations }) } };
  });
}
