/** The node's own interface and address, and the links of pods. */
import { BlockList } from 'node:net';
import { run, tryRun } from './commands.ts';
import { settings } from './settings.ts';
import type { Tools } from './tools.ts';

interface Interface {
  readonly ifname: string;
  readonly addr_info: readonly { readonly local?: string; readonly prefixlen?: number }[];
}

interface Route {
  readonly dst: string;
  readonly dev?: string;
}

/** Whether an IPv4 range such as `10.0.0.0/8` (or an address) shares an address with the cluster's. */
export function overlapsCluster(range: string): boolean {
  const [address = '', length = '32'] = range.split('/');
  const [ours = '', ourLength = ''] = settings.range.split('/');
  const theirs = new BlockList();
  const cluster = new BlockList();
  theirs.addSubnet(address, Number(length));
  cluster.addSubnet(ours, Number(ourLength));
  // Two ranges overlap exactly when one holds the other's first address.
  return theirs.check(ours) || cluster.check(address);
}

async function interfaces(ip: string): Promise<Interface[]> {
  return JSON.parse(await run(ip, ['-json', '-4', 'address', 'show'])) as Interface[];
}

/** Throws when somebody else on this machine uses the cluster's addresses. */
async function assertRangeIsFree(ip: string): Promise<void> {
  const routes = JSON.parse(await run(ip, ['-json', '-4', 'route', 'show', 'table', 'main'])) as Route[];
  const taken = routes.find(({ dst }) => /^[\d.]+(\/\d+)?$/.test(dst) && overlapsCluster(dst));
  if (taken) {
    throw new Error(
      `The addresses ${settings.range} of the local cluster are in use: there is a route to ${taken.dst} by ${taken.dev ?? 'another interface'}. ` +
        'Use an existing cluster with `--context NAME`.',
    );
  }
}

/** Makes the node's interface, unless it is there, with routes that keep addresses of Services, and of pods that are gone, from leaving by the default route. */
export async function createNodeInterface({ ip }: Pick<Tools, 'ip'>): Promise<void> {
  const { nodeInterface, nodeAddress, serviceRange, podRange } = settings;
  if ((await tryRun(ip, ['link', 'show', nodeInterface])) === undefined) {
    await assertRangeIsFree(ip);
    await run(ip, ['link', 'add', nodeInterface, 'type', 'bridge']);
  }
  await run(ip, ['address', 'replace', `${nodeAddress}/32`, 'dev', nodeInterface]);
  await run(ip, ['link', 'set', nodeInterface, 'up']);
  for (const range of [serviceRange, podRange]) await run(ip, ['route', 'replace', range, 'dev', nodeInterface]);
}

/** Our end of each pod's link has the pods' gateway address; others' interfaces don't. */
async function podLinks(ip: string): Promise<string[]> {
  const all = await interfaces(ip);
  return all.filter(({ addr_info: addresses }) => addresses.some(({ local }) => local === settings.podGateway)).map(({ ifname }) => ifname);
}

/** Removes the node's interface and what is left of pods' links. */
export async function removeInterfaces({ ip }: Pick<Tools, 'ip'>): Promise<void> {
  // The kernel removes a link by itself some time after its network namespace: losing that race is fine.
  for (const link of await podLinks(ip)) await tryRun(ip, ['link', 'delete', link]);
  await tryRun(ip, ['link', 'delete', settings.nodeInterface]);
  const left = [
    ...(await podLinks(ip)),
    ...(await interfaces(ip)).map(({ ifname }) => ifname).filter((name) => name === settings.nodeInterface),
  ];
  if (left.length > 0) throw new Error(`could not remove the interfaces ${left.join(', ')}`);
}
