/** Reads R2RDeployments, R2RRouters and what belongs to them: a few calls, however many there are. */
import { labelKeys, managedBy, toSelector } from '../../api/names.ts';
import type { R2RDeployment } from '../../api/r2rdeployment.ts';
import { routerJobComponent } from '../../api/r2rrouter-names.ts';
import type { R2RRouter } from '../../api/r2rrouter.ts';
import { r2rDeployments, r2rRouters } from '../../controllers/resource-types.ts';
import { ApiError, deployments, isNotFound, pods, type KubeClient, type Live } from '../../kube/index.ts';
import type { Deployment, Pod } from '../../kube/resources.ts';
import { RouterCommandError } from '../router-command-error.ts';
import { findRouter } from '../router-resource.ts';
import type { Gaps } from './gaps.ts';
import { PluginError } from './plugin-error.ts';
import type { Target } from './target.ts';

/** Where to look: one namespace, or undefined for all. */
export interface Scope {
  readonly client: KubeClient;
  readonly namespace: string | undefined;
  readonly signal: AbortSignal;
}

/** An R2RDeployment with the Deployments and pods of all its revisions. */
export interface DeploymentFamily {
  readonly deployment: Live<R2RDeployment>;
  readonly children: readonly Live<Deployment>[];
  readonly pods: readonly Live<Pod>[];
}

/** An R2RRouter with the pods of its Jobs. */
export interface RouterFamily {
  readonly router: Live<R2RRouter>;
  readonly pods: readonly Live<Pod>[];
}

export interface Families {
  readonly deployments: readonly DeploymentFamily[];
  readonly routers: readonly RouterFamily[];
}

/**
 * The resource that is named, or all of both kinds.
 *
 * @param routers - whether R2RRouters are asked for where nothing is named
 * @throws RouterCommandError, PluginError when it is not there; the client's errors when resources cannot be read at all
 */
export async function readFamilies(
  scope: Scope,
  target: Target | undefined,
  gaps: Gaps,
  { routers = true }: { readonly routers?: boolean } = {},
): Promise<Families> {
  const [found, members] = await Promise.all([readResources(scope, target, gaps, routers), readMembers(scope, target, gaps)]);
  const of = ({ metadata }: Live, isJob: boolean) => {
    const mine = ({ metadata: { namespace, labels = {} } }: Live): boolean =>
      namespace === metadata.namespace &&
      labels[labelKeys.instance] === metadata.name &&
      (labels[labelKeys.component] === routerJobComponent) === isJob;
    return { children: members.children.filter(mine), pods: members.pods.filter(mine) };
  };
  return {
    deployments: found.deployments.map((deployment) => ({ deployment, ...of(deployment, false) })),
    routers: found.routers.map((router) => ({ router, pods: of(router, true).pods })),
  };
}

/** @throws PluginError `DEPLOYMENT_NOT_FOUND` with those there are */
export async function findDeployment({ client, namespace, signal }: Scope, name: string): Promise<Live<R2RDeployment>> {
  const found = await client.find(r2rDeployments, { namespace, name }, { signal });
  if (found) return found;
  const list = <T extends R2RDeployment | R2RRouter>(read: Promise<{ readonly items: readonly Live<T>[] }>) =>
    read.catch((error: unknown) => {
      // whoever may look at one by name need not be allowed to list them
      if (error instanceof ApiError && error.status === 403) return undefined;
      if (isNotFound(error)) throw missingDefinitions(client, error);
      throw error;
    });
  const [there, routers] = await Promise.all([
    list(client.list(r2rDeployments, { namespace, signal })),
    list(client.list(r2rRouters, { namespace, signal })),
  ]);
  const names = there?.items.map(({ metadata }) => metadata.name).sort() ?? [];
  const others = there === undefined ? '' : names.length > 0 ? `; there are: ${names.join(', ')}` : '; it has none';
  const isRouter = routers?.items.some(({ metadata }) => metadata.name === name) ?? false;
  const fix = isRouter ? `there is an R2RRouter of this name: say router/${name}` : 'give another name, or another namespace with -n';
  throw new PluginError('DEPLOYMENT_NOT_FOUND', `there is no R2RDeployment "${name}" in namespace ${namespace ?? ''}${others}`, fix);
}

async function readResources(
  scope: Scope,
  target: Target | undefined,
  gaps: Gaps,
  withRouters: boolean,
): Promise<{ readonly deployments: readonly Live<R2RDeployment>[]; readonly routers: readonly Live<R2RRouter>[] }> {
  const { client, namespace = '', signal } = scope;
  if (target?.kind === 'router') return { deployments: [], routers: [await findRouter({ client, namespace }, target.name, signal)] };
  if (target) return { deployments: [await findDeployment(scope, target.name)], routers: [] };
  const [found, routers] = await Promise.all([
    client.list(r2rDeployments, { namespace: scope.namespace, signal }).catch((error: unknown) => {
      throw isNotFound(error) ? missingDefinitions(client, error) : error;
    }),
    withRouters ? gaps.tryRead('R2RRouters', client.list(r2rRouters, { namespace: scope.namespace, signal })) : undefined,
  ]);
  return { deployments: sorted(found.items), routers: sorted(routers?.items ?? []) };
}

async function readMembers({ client, namespace, signal }: Scope, target: Target | undefined, gaps: Gaps) {
  const labelSelector = toSelector({ [labelKeys.managedBy]: managedBy, ...(target && { [labelKeys.instance]: target.name }) });
  const [children, all] = await Promise.all([
    target?.kind === 'router' ? undefined : gaps.tryRead('Deployments', client.list(deployments, { namespace, labelSelector, signal })),
    gaps.tryRead('pods', client.list(pods, { namespace, labelSelector, signal })),
  ]);
  return { children: children?.items ?? [], pods: sorted(all?.items ?? []) };
}

function missingDefinitions(client: KubeClient, cause: unknown): RouterCommandError {
  const fix = 'install the CRDs (crds/), or take another context';
  return new RouterCommandError('CLUSTER_CRD_MISSING', `${client.server} knows no R2RDeployments`, fix, { cause });
}

function sorted<T extends Live>(objects: readonly T[]): readonly T[] {
  const key = ({ metadata }: T): string => `${metadata.namespace ?? ''}/${metadata.name}`;
  return [...objects].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}
