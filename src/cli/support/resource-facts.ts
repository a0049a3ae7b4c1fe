import { labelKeys, managedBy, toSelector } from '../../api/names.ts';
import { jobContainers, jobPorts, routerLabelKeys } from '../../api/r2rrouter-names.ts';
import { r2rDeployments, r2rRouters } from '../../controllers/resource-types.ts';
import {
  configMaps,
  controllerRevisions,
  deployments,
  endpointSlices,
  events as eventType,
  jobs,
  networkPolicies,
  persistentVolumeClaims,
  replicaSets,
  roleBindings,
  roles,
  serviceAccounts,
  services,
  statefulSets,
  type KubeObject,
  type Live,
  type ResourceType,
} from '../../kube/index.ts';
import type { Pod } from '../../kube/resources.ts';
import { belongsTo } from '../events/relatives.ts';
import { eventView, merged } from '../events/event-view.ts';
import { eventLines } from '../events/text.ts';
import { plain } from '../view/layout.ts';
import type { Families, Scope } from '../view/resources.ts';
import { adminPort, proxied } from '../view/router-answers.ts';
import type { Target } from '../view/target.ts';
import { isRunning } from './cluster-facts.ts';
import { inTurns, type Collector } from './collector.ts';
import { collectLogs, type LogBounds } from './logs.ts';

/** Kinds of children. Secrets are not among them and are never asked for. */
const childTypes = [
  ...[deployments, replicaSets, statefulSets, jobs, services, endpointSlices, configMaps, serviceAccounts, roles, roleBindings],
  ...[networkPolicies, persistentVolumeClaims, controllerRevisions],
] as unknown as readonly ResourceType[];

const maxMetricsBytes = 4 * 1024 * 1024;
const atOnce = 8;

const folderOf = ({ metadata }: Live): string => `namespaces/${metadata.namespace ?? ''}`;

/** The resources, their children and pods, their events, their logs, and what their routers and Jobs say. */
export async function collectResources(
  scope: Scope,
  collector: Collector,
  families: Families,
  target: Target | undefined,
  bounds: LogBounds,
  now: Date,
): Promise<void> {
  const resources: readonly Live[] = [
    ...families.deployments.map(({ deployment }) => deployment),
    ...families.routers.map(({ router }) => router),
  ];
  const pods = [...families.deployments, ...families.routers].flatMap((family) => family.pods);
  for (const [folder, objects] of Map.groupBy(
    families.deployments.map(({ deployment }) => deployment),
    folderOf,
  ))
    await collector.objects(`${folder}/${r2rDeployments.plural}.yaml`, objects);
  for (const [folder, objects] of Map.groupBy(
    families.routers.map(({ router }) => router),
    folderOf,
  ))
    await collector.objects(`${folder}/${r2rRouters.plural}.yaml`, objects);
  const children = await collectChildren(scope, collector, target);
  for (const [folder, objects] of Map.groupBy(pods, folderOf)) await collector.objects(`${folder}/pods.yaml`, objects);
  await collectEvents(scope, collector, resources, [...children, ...pods], now);
  await collectLogs(scope.client, collector, folderOf, pods, bounds, scope.signal);
  await inTurns(pods, atOnce, (pod) => collectPages(scope, collector, pod));
}

async function collectChildren(
  { client, namespace, signal }: Scope,
  collector: Collector,
  target: Target | undefined,
): Promise<readonly Live[]> {
  const labelSelector = toSelector({ [labelKeys.managedBy]: managedBy, ...(target && { [labelKeys.instance]: target.name }) });
  const lists = await Promise.all(
    childTypes.map(async (type) => {
      const list = await collector.tryRead(`${type.kind} objects`, client.list<KubeObject>(type, { namespace, labelSelector, signal }));
      return { type, items: list?.items ?? [] };
    }),
  );
  for (const { type, items } of lists)
    for (const [folder, objects] of Map.groupBy(items, folderOf)) await collector.objects(`${folder}/${type.plural}.yaml`, objects);
  return lists.flatMap(({ items }) => items);
}

async function collectEvents(
  { client, namespace, signal }: Scope,
  collector: Collector,
  resources: readonly Live[],
  relatives: readonly Live[],
  now: Date,
): Promise<void> {
  const list = await collector.tryRead('events', client.list(eventType, { namespace, signal }));
  const byNamespace = Map.groupBy(list?.items ?? [], folderOf);
  const uids = new Set(relatives.map(({ metadata }) => metadata.uid));
  for (const [folder, mine] of Map.groupBy(resources, folderOf)) {
    const belongs = mine.map(({ kind, metadata }) => {
      const target: Target = { kind: kind === r2rRouters.kind ? 'router' : 'deployment', name: metadata.name };
      return belongsTo(target, new Set([...uids, metadata.uid]));
    });
    const events = (byNamespace.get(folder) ?? []).filter((event) => belongs.some((holds) => holds(event)));
    if (events.length === 0) continue;
    const lines = eventLines(merged(events.map(eventView)), now, { width: 1000, paint: plain, terminal: false }, true);
    await collector.text(`${folder}/events.txt`, `${lines.join('\n')}\n`);
    await collector.objects(`${folder}/events.yaml`, events);
  }
}

/** What a router or a Job's pod serves for the operator and for monitoring. */
async function collectPages({ client, signal }: Scope, collector: Collector, pod: Live<Pod>): Promise<void> {
  const { namespace = '', name, labels = {} } = pod.metadata;
  const read = (port: number, path: string): Promise<string | undefined> =>
    collector.tryRead(
      `${path} of pod ${namespace}/${name}`,
      proxied(client, { namespace, name, port }, path, { signal, maxBytes: maxMetricsBytes }),
    );
  const add = async (port: number, status: string, metrics: boolean): Promise<void> => {
    const page = await read(port, status);
    if (page !== undefined) await collector.page(`${folderOf(pod)}/pages/${name}/status.json`, page);
    const text = metrics ? await read(port, '/metrics') : undefined;
    if (text !== undefined) await collector.text(`${folderOf(pod)}/pages/${name}/metrics.txt`, text);
  };
  const step = labels[routerLabelKeys.step];
  const admin = adminPort(pod);
  // the trainer has no metrics
  if (step !== undefined) {
    const status = pod.spec?.containers
      .find(({ name: container }) => container === jobContainers.step)
      ?.ports?.find(({ name: port }) => port === 'status');
    if (isRunning(pod)) await add(status?.containerPort ?? jobPorts.status, '/progress', step !== 'train');
  } else if (admin !== undefined) await add(admin, '/r2r/status', true);
}
