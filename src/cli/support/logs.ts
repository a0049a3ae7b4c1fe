import type { KubeClient, Live } from '../../kube/index.ts';
import type { Pod } from '../../kube/resources.ts';
import { inTurns, type Collector } from './collector.ts';

export interface LogBounds {
  readonly sinceSeconds: number;
  /** The last lines of each container. */
  readonly tailLines: number;
}

/** Of one container, and of all together. */
const maxBytes = { container: 4 * 1024 * 1024, all: 512 * 1024 * 1024 } as const;
const atOnce = 8;

/** Logs of all containers of these pods, also those of the containers before the last restart. */
export async function collectLogs(
  client: KubeClient,
  collector: Collector,
  folder: (pod: Live<Pod>) => string,
  pods: readonly Live<Pod>[],
  bounds: LogBounds,
  signal: AbortSignal,
): Promise<void> {
  let bytes = 0;
  const wanted = pods.flatMap((pod) => containersOf(pod).map((each) => ({ pod, ...each })));
  await inTurns(wanted, atOnce, async ({ pod, container, previous }) => {
    const { namespace = '', name } = pod.metadata;
    const what = `log of container ${container}${previous ? ' before its restart' : ''} of pod ${namespace}/${name}`;
    if (bytes >= maxBytes.all) {
      collector.missing(what, `logs have more than ${maxBytes.all / 1024 / 1024} MiB in all; name one resource, or use --since or --tail`);
      return;
    }
    const query = new URLSearchParams({
      container,
      previous: String(previous),
      timestamps: 'true',
      sinceSeconds: String(bounds.sinceSeconds),
      tailLines: String(bounds.tailLines),
      limitBytes: String(maxBytes.container),
    });
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/log?${query.toString()}`;
    const text = await collector.tryRead(
      what,
      client.raw({ path, signal, retries: 0, deadlineMs: 30_000, maxBytes: 2 * maxBytes.container }),
    );
    if (text === undefined) return;
    bytes += text.length;
    await collector.log(`${folder(pod)}/logs/${name}/${container}${previous ? '.previous' : ''}.log`, text);
  });
}

/** Containers that have run, and those that ran before. */
function containersOf({ status }: Live<Pod>): readonly { readonly container: string; readonly previous: boolean }[] {
  const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  return all.flatMap(({ name, restartCount, state }) => [
    ...(state?.running || state?.terminated || restartCount > 0 ? [{ container: name, previous: false }] : []),
    ...(restartCount > 0 ? [{ container: name, previous: true }] : []),
  ]);
}
