/** What routers say of themselves, asked through the API server: people have no way to pods' addresses. */
import { containers, ports } from '../../api/names.ts';
import { routerStatusSchema, type RouterStatus } from '../../api/router-status.ts';
import { ApiError, type KubeClient, type Live } from '../../kube/index.ts';
import type { Pod } from '../../kube/resources.ts';
import { reasonOf, type Gaps } from './gaps.ts';

/** A router's answer, and when it came. */
export interface RouterAnswer {
  readonly pod: string;
  readonly atMs: number;
  readonly status: RouterStatus;
}

const deadlineMs = 5_000;
/** A status is a few kilobytes. */
const maxStatusBytes = 1024 * 1024;

/** A page of a pod, through the API server's proxy; needs the verb `get` on `pods/proxy`. */
export function proxied(
  client: KubeClient,
  { namespace = '', name, port }: { readonly namespace?: string | undefined; readonly name: string; readonly port: number },
  path: string,
  { signal, maxBytes = maxStatusBytes }: { readonly signal: AbortSignal; readonly maxBytes?: number },
): Promise<string> {
  const pod = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}:${port}`;
  return client.raw({ path: `${pod}/proxy${path}`, signal, deadlineMs, retries: 0, maxBytes });
}

/** Where a router of a pod has its admin port; undefined while it does not run. */
export function adminPort({ spec, status }: Live<Pod>): number | undefined {
  const running = status?.containerStatuses?.some(({ name, state }) => name === containers.router && state?.running);
  if (!running) return undefined;
  const named = spec?.containers.find(({ name }) => name === containers.router)?.ports?.find(({ name }) => name === 'admin');
  return named?.containerPort ?? ports.admin;
}

/**
 * Asks the routers of all pods that run one, all at once; those of a namespace whose pods this user may not get at are not asked. By the
 * pod's namespace and name. `gaps` is told which right is missing, and who does not answer.
 */
export async function askRouters(
  client: KubeClient,
  pods: readonly Live<Pod>[],
  gaps: Gaps,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, RouterAnswer>> {
  const answers = new Map<string, RouterAnswer>();
  const byNamespace = Map.groupBy(pods, ({ metadata }) => metadata.namespace ?? '');
  await Promise.all(
    [...byNamespace].map(async ([namespace, all]) => {
      let forbidden = false;
      const ask = async (pod: Live<Pod>): Promise<void> => {
        const port = adminPort(pod);
        if (port === undefined || forbidden) return;
        const { name } = pod.metadata;
        try {
          const text = await proxied(client, { namespace, name, port }, '/r2r/status', { signal });
          answers.set(podKey(pod), { pod: name, atMs: performance.now(), status: routerStatusSchema.parse(JSON.parse(text)) });
        } catch (error) {
          signal.throwIfAborted();
          if (error instanceof ApiError && error.status === 403) {
            forbidden = true;
            gaps.add(`routers of namespace ${namespace} cannot be asked: ${reasonOf(error)}; a role with verb get on pods/proxy lets you`);
          } else {
            const why =
              error instanceof SyntaxError || !(error instanceof Error) || error.name === 'ZodError'
                ? 'its answer is no status'
                : reasonOf(error);
            gaps.add(`the router of pod ${name} does not answer: ${why}`);
          }
        }
      };
      // the first tells whether this user may
      const running = all.filter((pod) => adminPort(pod) !== undefined);
      const [first, ...others] = running;
      if (first) await ask(first);
      await Promise.all(others.map(ask));
    }),
  );
  return answers;
}

export function podKey({ metadata }: Live): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}
