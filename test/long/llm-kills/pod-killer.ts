/** Kills pods at random, in the ways that pods end: deleted at once, deleted with their grace period, and their process killed. */
import { readFileSync } from 'node:fs';
import { pause } from '../../../src/kube/clock.ts';
import { pods } from '../../../src/kube/resources.ts';
import type { Pod } from '../../../src/kube/resources.ts';
import type { KubeClient } from '../../../src/kube/index.ts';
import { podProcesses } from '../../cluster/cgroups.ts';

/** `Force`: deleted without a grace period. `Graceful`: deleted, and its server finishes what it has. `Sigkill`: its server is killed, and starts again in the same pod. */
export const killWays = ['Force', 'Graceful', 'Sigkill'] as const;
export type KillWay = (typeof killWays)[number];

export interface Kills extends Record<KillWay, number> {
  /** How often all pods were killed at once; each of them is counted above, too. */
  allAtOnce: number;
}

/** Kubernetes waits ever longer before it starts a container again, up to five minutes; a pod that is deleted comes back at once. */
const mostRestarts = 2;
const [shortestPauseMs, longestPauseMs] = [500, 9_000];
/** Of all times, all pods are killed at once. */
const allShare = 0.3;
/** For so long at most it waits that a pod is ready: else a busy machine, where pods start slowly, would see one outage and nothing between. */
const mercyMs = 20_000;

export interface PodKillerOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly labelSelector: string;
  /** In [0, 1). */
  readonly random: () => number;
}

export class PodKiller {
  readonly kills: Kills = { Force: 0, Graceful: 0, Sigkill: 0, allAtOnce: 0 };
  readonly #options: PodKillerOptions;

  constructor(options: PodKillerOptions) {
    this.#options = options;
  }

  /** Kills until `over` is aborted. */
  async run(over: AbortSignal): Promise<void> {
    const { random } = this.#options;
    for (;;) {
      const pauseMs = shortestPauseMs + random() * (longestPauseMs - shortestPauseMs);
      await pause(pauseMs, over);
      for (const until = Date.now() + mercyMs; Date.now() < until && !over.aborted && !(await this.#someReady());) await pause(250, over);
      if (over.aborted) return;
      await this.#kill();
    }
  }

  async #alive(): Promise<readonly Pod[]> {
    const { client, namespace, labelSelector } = this.#options;
    return (await client.list<Pod>(pods, { namespace, labelSelector })).items.filter(({ metadata }) => !metadata.deletionTimestamp);
  }

  async #someReady(): Promise<boolean> {
    return (await this.#alive()).some(({ status }) =>
      status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
    );
  }

  async #kill(): Promise<void> {
    const { random } = this.#options;
    const alive = await this.#alive();
    const all = random() < allShare;
    const chosen = all ? alive : alive.slice(Math.floor(random() * alive.length)).slice(0, 1);
    if (all && chosen.length > 1) this.kills.allAtOnce++;
    await Promise.all(chosen.map((pod) => this.#end(pod, killWays[Math.floor(random() * killWays.length)] ?? 'Force')));
  }

  async #end(pod: Pod, wished: KillWay): Promise<void> {
    const { client, namespace } = this.#options;
    const { name = '', uid = '' } = pod.metadata ?? {};
    const restarts = pod.status?.containerStatuses?.[0]?.restartCount ?? 0;
    if (wished === 'Sigkill' && restarts < mostRestarts) {
      const servers = serversOf(uid);
      for (const pid of servers) process.kill(pid, 'SIGKILL');
      if (servers.length > 0) this.kills.Sigkill++;
      return;
    }
    const way = wished === 'Sigkill' ? 'Force' : wished;
    if (await client.delete(pods, { namespace, name }, { uid, ...(way === 'Force' && { gracePeriodSeconds: 0 }) })) this.kills[way]++;
  }
}

/** Process ids, on this machine, of the model server in a pod. */
function serversOf(podUID: string): number[] {
  const read = (pid: number, file: string): string => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'utf8');
    } catch {
      return ''; // it has ended meanwhile
    }
  };
  return podProcesses().filter((pid) => read(pid, 'cgroup').includes(podUID) && read(pid, 'cmdline').split('\0').includes('engine'));
}
