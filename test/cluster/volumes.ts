/**
 * A pool of folders as PersistentVolumes, so that claims without a class are bound: there is no driver that makes volumes. A volume whose claim
 * is gone keeps its files until it is renewed, which `up` does.
 */
import { chmod, chown, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunOptions } from './commands.ts';
import { paths } from './settings.ts';

const count = 8;
const names = Array.from({ length: count }, (_, index) => `r2r-volume-${index + 1}`);

/** Of the pods' user and group: an `fsGroup` changes nothing in a folder of the machine. */
const owner = 10_001;
const mode = 0o770;

const folderOf = (name: string) => join(paths.volumes, name);

/** The volumes as they are applied. Their size is not enforced; it only has to be enough for any claim. */
export const volumes: readonly object[] = names.map((name) => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name },
  spec: {
    capacity: { storage: '200Gi' },
    accessModes: ['ReadWriteOnce', 'ReadWriteMany'],
    persistentVolumeReclaimPolicy: 'Retain',
    storageClassName: '',
    hostPath: { path: folderOf(name), type: 'Directory' },
  },
}));

export interface VolumeList {
  readonly items: readonly { readonly metadata: { readonly name: string }; readonly status?: { readonly phase?: string } }[];
}

/** Those of the pool whose claim was deleted, which happens only when no pod uses it any more. */
export function released({ items }: VolumeList): readonly string[] {
  return items
    .filter(({ metadata, status }) => names.includes(metadata.name) && status?.phase === 'Released')
    .map(({ metadata }) => metadata.name);
}

/** Makes the pool, or what of it is missing, and empties volumes whose claim is gone, for the next ones. Needs root. Returns their number. */
export async function renewVolumes(kubectl: (args: readonly string[], options?: RunOptions) => Promise<string>): Promise<number> {
  const list = JSON.parse(await kubectl(['get', 'persistentvolumes', '--output=json'])) as VolumeList;
  const emptied = released(list);
  for (const name of emptied) await rm(folderOf(name), { recursive: true, force: true });
  for (const folder of names.map(folderOf)) {
    await mkdir(folder, { recursive: true });
    await chown(folder, owner, owner);
    await chmod(folder, mode);
  }
  await kubectl(['apply', '--filename=-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: volumes }) });
  const unbind = JSON.stringify([{ op: 'remove', path: '/spec/claimRef' }]);
  for (const name of emptied) await kubectl(['patch', 'persistentvolume', name, '--type=json', `--patch=${unbind}`]);
  return count;
}
