/** Which firewall rules are the cluster's, and how to take out exactly those. */
import { run } from './commands.ts';
import { settings } from './settings.ts';

/** kube-proxy's chains; nobody else's have this prefix, and `up` refuses a machine where another Kubernetes has put them. */
const isOurChain = (chain: string | undefined): boolean => chain?.startsWith('KUBE-') ?? false;

const target = (rule: string): string | undefined => /\s-[jg] (\S+)/.exec(rule)?.[1];
const isOurRule = (rule: string): boolean => isOurChain(target(rule)) || rule.includes(`--comment ${settings.firewallComment} `);

/** Names of the tables in the output of `iptables-save`. */
export function tableNames(saved: string): string[] {
  return [...saved.matchAll(/^\*(\S+)$/gm)].map((match) => match[1] ?? '');
}

/** Whether the output of `iptables-save` holds anything that `up` makes. */
export function hasOurRules(saved: string): boolean {
  return removal(saved) !== '';
}

/**
 * Input for `iptables-restore --noflush` that removes what the cluster added to `saved` (the output of `iptables-save`) and nothing else;
 * empty when there is nothing.
 */
export function removal(saved: string): string {
  const output: string[] = [];
  for (const table of saved.split(/^(?=\*)/m)) {
    const lines = table.split('\n');
    const chains = lines.filter((line) => line.startsWith(':')).map((line) => line.slice(1).split(' ')[0] ?? '');
    const ourChains = chains.filter(isOurChain);
    const rules = lines.filter((line) => line.startsWith('-A ') && !isOurChain(line.split(' ')[1]) && isOurRule(line));
    if (ourChains.length === 0 && rules.length === 0) continue;
    const name = lines.find((line) => line.startsWith('*')) ?? '';
    const deletions = rules.map((rule) => rule.replace(/^-A /, '-D '));
    output.push(name, ...deletions, ...ourChains.map((chain) => `-F ${chain}`), ...ourChains.map((chain) => `-X ${chain}`), 'COMMIT', '');
  }
  return output.join('\n');
}

const rule = ['-s', settings.range, '-d', settings.range, '-m', 'comment', '--comment', settings.firewallComment, '-j', 'ACCEPT'];

/** Lets pods, node and Services talk to each other on machines whose firewall drops by default. */
export async function openFirewall(iptables: string): Promise<void> {
  const saved = await run(`${iptables}-save`, ['-t', 'filter']);
  for (const chain of ['INPUT', 'FORWARD']) {
    const present = saved
      .split('\n')
      .some((line) => line.startsWith(`-A ${chain} `) && line.includes(`--comment ${settings.firewallComment} `));
    if (!present) await run(iptables, ['--wait', '--insert', chain, ...rule]);
  }
}

/** Removes the cluster's rules of one address family (`iptables` or `ip6tables`). */
export async function closeFirewall(iptables: string): Promise<void> {
  const input = removal(await run(`${iptables}-save`, []));
  if (input) await run(`${iptables}-restore`, ['--wait', '--noflush'], { input });
}

/** Whether a table in the output of `iptables-save` has no rule, no chain of anybody's, and lets everything pass. */
export function isEmptyTable(saved: string): boolean {
  return !/^-A /m.test(saved) && !/^:\S+ (-|DROP)/m.test(saved);
}

/** Removes tables that came into being with the cluster's rules and are empty now. Only iptables on nftables has such tables. */
export async function removeNewTables(nft: string, iptables: string, family: 'ip' | 'ip6', before: readonly string[]): Promise<void> {
  if (!(await run(iptables, ['--version'])).includes('nf_tables')) return;
  for (const table of tableNames(await run(`${iptables}-save`, []))) {
    if (before.includes(table) || !isEmptyTable(await run(`${iptables}-save`, ['-t', table]))) continue;
    await run(nft, ['delete', 'table', family, table]);
  }
}
