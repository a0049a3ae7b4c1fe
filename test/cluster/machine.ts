/** What `up` changes on the machine outside its own folder, written down before, so that `down` can put it back. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { run } from './commands.ts';
import { hasOurRules, tableNames } from './firewall.ts';
import { paths, stateFolder } from './settings.ts';
import type { Tools } from './tools.ts';

/** Kernel settings that kubelet, kube-proxy and the CNI plug-in change. */
const sysctls = [
  'net/ipv4/ip_forward',
  'net/ipv4/conf/all/route_localnet',
  'net/netfilter/nf_conntrack_max',
  'net/netfilter/nf_conntrack_tcp_be_liberal',
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxkeys',
  'kernel/keys/root_maxbytes',
];

/** Folders whose place is fixed in the programs; children before parents. */
const folders = [
  '/var/lib/kubelet/device-plugins',
  '/var/lib/kubelet/pod-resources',
  '/var/lib/kubelet',
  '/var/log/containers',
  '/var/log/pods',
  '/var/lib/cni/results',
  '/var/lib/cni/cache',
  '/var/lib/cni',
  '/run/containerd/s',
  '/run/containerd/fifo',
  '/run/containerd',
];

export interface Before {
  readonly sysctls: Readonly<Record<string, string>>;
  /** Tables that the firewall had. */
  readonly tables: { readonly iptables: readonly string[]; readonly ip6tables: readonly string[] };
  readonly missingFolders: readonly string[];
  /** The kernel's name for the time since it started. */
  readonly bootId: string;
}

const bootId = () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

/** Whether the machine was started anew since the first `up`: mounts, interfaces and processes are gone then, files are not. */
export const isFromEarlierBoot = (before: Before): boolean => before.bootId !== bootId();

/** The machine's state before the first `up`; undefined when there is no cluster. */
export async function readBefore(): Promise<Before | undefined> {
  if (!existsSync(paths.before)) return undefined;
  return JSON.parse(await readFile(paths.before, 'utf8')) as Before;
}

const readSysctl = (name: string) => readFileSync(`/proc/sys/${name}`, 'utf8').trim();

/** Writes down the state of the machine unless an earlier `up` did. Throws when another Kubernetes' rules are in the firewall. */
export async function writeBefore(tools: Tools): Promise<void> {
  if (existsSync(paths.before)) return;
  const saved = { iptables: await run(`${tools.iptables}-save`, []), ip6tables: await run(`${tools.ip6tables}-save`, []) };
  if (hasOurRules(saved.iptables) || hasOurRules(saved.ip6tables)) {
    throw new Error(
      'The firewall holds KUBE-* chains of another Kubernetes on this machine; two would disturb each other. ' +
        'Use that one with `--context NAME`, or remove it first.',
    );
  }
  const before: Before = {
    sysctls: Object.fromEntries(sysctls.filter((name) => existsSync(`/proc/sys/${name}`)).map((name) => [name, readSysctl(name)])),
    tables: { iptables: tableNames(saved.iptables), ip6tables: tableNames(saved.ip6tables) },
    missingFolders: folders.filter((folder) => !existsSync(folder)),
    bootId: bootId(),
  };
  await mkdir(stateFolder, { recursive: true, mode: 0o755 });
  await writeFile(paths.before, JSON.stringify(before, undefined, 2));
}

export async function restoreSysctls(before: Before): Promise<void> {
  for (const [name, value] of Object.entries(before.sysctls)) {
    if (existsSync(`/proc/sys/${name}`) && readSysctl(name) !== value) await writeFile(`/proc/sys/${name}`, value);
  }
}

/** Removes the folders that `up` brought into the world, as far as they are empty. */
export async function removeNewFolders(before: Before): Promise<void> {
  for (const folder of before.missingFolders) await rmdir(folder).catch(() => undefined);
}
