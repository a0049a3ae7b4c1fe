/** What a shell offers behind `kubectl r2r`: kubectl asks the program `kubectl_complete-r2r` from the PATH, with the words so far. */
import { r2rDeployments, r2rRouters } from '../controllers/resource-types.ts';
import type { ResourceType } from '../kube/index.ts';
import { withCluster, type ClusterFlags } from './cluster-access.ts';

interface Completable {
  /** Names of resources, as the argument takes them. */
  readonly names?: 'deployments' | 'routers' | 'both';
  readonly flags?: readonly string[];
  /** Files are offered by the shell itself. */
  readonly files?: boolean;
  readonly commands?: Readonly<Record<string, Completable>>;
}

const cluster = ['--namespace', '--context', '--kubeconfig', '--help'];
const view = [...cluster, '--all-namespaces'];

/** Every command with its flags; test/cli/completion.test.ts holds them against their help. */
export const completable: Readonly<Record<string, Completable>> = {
  status: { names: 'both', flags: [...view, '--output'] },
  top: { names: 'deployments', flags: [...view, '--routers', '--watch', '--interval', '--output'] },
  events: { names: 'both', flags: [...cluster, '--watch', '--output'] },
  'support-bundle': { names: 'both', flags: [...view, '--output', '--since', '--tail', '--operator-namespace'] },
  rollout: {
    commands: {
      status: { names: 'deployments', flags: [...cluster, '--watch', '--timeout'] },
      history: { names: 'deployments', flags: [...cluster, '--output'] },
    },
  },
  router: {
    commands: {
      import: { files: true },
      inspect: { files: true },
      history: { names: 'routers', flags: [...cluster, '--output'] },
      rollback: { names: 'routers', flags: [...cluster, '--to', '--undo', '--output'] },
    },
  },
};

/** Flags whose value is the next word. */
const valued = new Set([
  '-n',
  '--namespace',
  '--context',
  '--kubeconfig',
  '-o',
  '--output',
  '--interval',
  '--since',
  '--tail',
  '--operator-namespace',
  '--to',
]);
const outputs: Readonly<Record<string, readonly string[]>> = {
  status: ['json', 'yaml'],
  top: ['json'],
  events: ['json', 'wide'],
  history: ['json', 'wide'],
  rollback: ['json'],
};

/** Cobra's directives: nothing more is to be offered; or files are. */
const directives = { nothing: ':4', files: ':0' } as const;
const patienceMs = 3_000;

/** @param words - behind `kubectl r2r`; the last is the one to be completed and may be empty */
export async function completions(
  words: readonly string[],
  names: (kind: 'deployments' | 'routers', flags: ClusterFlags) => Promise<readonly string[]>,
) {
  const current = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const { command, path, positionals } = commandOf(before);
  const offer = (candidates: readonly string[]): readonly string[] => [
    ...candidates.filter((each) => each.startsWith(current)),
    directives.nothing,
  ];
  const previous = before.at(-1) ?? '';
  if (previous === '-o' || previous === '--output') {
    const last = path.at(-1) ?? '';
    return last === 'support-bundle' ? [directives.files] : offer(outputs[last] ?? []);
  }
  if (previous === '--kubeconfig') return [directives.files];
  if (valued.has(previous)) return [directives.nothing];
  if (current.startsWith('-')) return offer(command.flags ?? []);
  if (command.commands) return offer(Object.keys(command.commands));
  if (command.files) return [directives.files];
  if (positionals.length > 0 || !command.names) return [directives.nothing];
  const flags = clusterFlagsOf(before);
  const deployments = command.names === 'routers' ? [] : await names('deployments', flags);
  const routers = command.names === 'deployments' ? [] : await names('routers', flags);
  return offer([...deployments, ...routers.map((name) => (command.names === 'both' ? `router/${name}` : name))]);
}

/** Names of resources of the cluster that the words lead to; none where it does not answer soon. */
export async function clusterNames(kind: 'deployments' | 'routers', flags: ClusterFlags): Promise<readonly string[]> {
  const type = (kind === 'deployments' ? r2rDeployments : r2rRouters) as unknown as ResourceType;
  try {
    return await withCluster(flags, async ({ client, namespace }) => {
      const { items } = await client.list(type, { namespace, deadlineMs: patienceMs, retries: 0 });
      return items.map(({ metadata }) => metadata.name);
    });
  } catch {
    return [];
  }
}

function commandOf(words: readonly string[]): {
  readonly command: Completable;
  readonly path: readonly string[];
  readonly positionals: readonly string[];
} {
  let command: Completable = { commands: completable };
  const path: string[] = [];
  const positionals: string[] = [];
  for (const [index, word] of words.entries()) {
    if (word.startsWith('-') || valued.has(words[index - 1] ?? '')) continue;
    const next = command.commands && Object.hasOwn(command.commands, word) ? command.commands[word] : undefined;
    if (next) {
      command = next;
      path.push(word);
    } else positionals.push(word);
  }
  return { command, path, positionals };
}

function clusterFlagsOf(words: readonly string[]): ClusterFlags {
  const value = (...names: readonly string[]): string | undefined => {
    const index = words.findLastIndex((word) => names.includes(word));
    return index >= 0 ? words[index + 1] : undefined;
  };
  return { namespace: value('-n', '--namespace'), context: value('--context'), kubeconfig: value('--kubeconfig') };
}
