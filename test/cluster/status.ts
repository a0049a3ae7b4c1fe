/** What runs where, as a table to read. */
import { readFileSync } from 'node:fs';
import type { Cluster } from './cluster.ts';
import { processes } from './processes.ts';
import { programNames } from './programs.ts';
import { paths } from './settings.ts';

/** Columns padded to their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows.reduce<number[]>((all, row) => row.map((cell, column) => Math.max(all[column] ?? 0, cell.length)), []);
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('   ')
        .trimEnd(),
    )
    .join('\n');
}

function residentMegabytes(pid: number): string {
  try {
    const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
    return `${Math.round(kilobytes / 1024)} MB`;
  } catch {
    return '';
  }
}

function programTable(): string {
  const running = processes();
  const rows = programNames.map((name) => {
    const process = running.find((each) => each.name === name);
    return process ? [name, 'running', String(process.pid), residentMegabytes(process.pid)] : [name, 'NOT RUNNING', '', ''];
  });
  return table([['PROGRAM', 'STATE', 'PID', 'MEMORY'], ...rows]);
}

interface PodList {
  readonly items: readonly { readonly status: { readonly phase?: string } }[];
}

async function podSummary(cluster: Cluster): Promise<string> {
  const { items } = JSON.parse(await cluster.kubectl(['get', 'pods', '--all-namespaces', '--output=json'])) as PodList;
  const phases = Map.groupBy(items, ({ status }) => status.phase ?? 'Unknown');
  return items.length === 0 ? 'none' : [...phases].map(([phase, pods]) => `${pods.length} ${phase}`).join(', ');
}

/** The text that `npm run cluster -- status` prints. */
export async function status(cluster: Cluster): Promise<string> {
  const columns = 'NAME:.metadata.name,READY:.status.conditions[?(@.type=="Ready")].status,VERSION:.status.nodeInfo.kubeletVersion';
  const gpus = 'GPUS:.status.allocatable.nvidia\\.com/gpu';
  const nodes = await cluster.kubectl(['get', 'nodes', `--output=custom-columns=${columns},${gpus}`]);
  const sections = [nodes.trimEnd(), `pods: ${await podSummary(cluster)}`];
  if (!cluster.isLocal) return sections.join('\n\n');
  const images = (await cluster.images()).filter((name) => !name.includes('@'));
  return [
    programTable(),
    ...sections,
    `images: ${images.join(', ')}`,
    `kubeconfig: ${paths.kubeconfig}\nkubectl:    ${cluster.kubectlPath}\nlogs:       ${paths.logs}`,
  ].join('\n\n');
}
