import { plural, group } from '../../api/r2rdeployment.ts';
import { routerPlural } from '../../api/r2rrouter.ts';
import { operatorLabels } from '../../manifests/index.ts';
import { toSelector } from '../../api/names.ts';
import { customResourceDefinitions, deployments, leases, nodes, pods, type Live } from '../../kube/index.ts';
import type { Node, Pod } from '../../kube/resources.ts';
import { proxied } from '../view/router-answers.ts';
import type { Scope } from '../view/resources.ts';
import { packageVersion } from '../version.ts';
import type { Collector } from './collector.ts';
import { collectLogs, type LogBounds } from './logs.ts';

const maxMetricsBytes = 4 * 1024 * 1024;
const operatorLease = 'r2r-operator';

/** Versions of everything, and nodes in short. */
export async function collectCluster({ client, signal }: Scope, collector: Collector): Promise<void> {
  const version = await collector.tryRead('version of the API server', client.raw({ path: '/version', signal }));
  await collector.page(
    'versions.json',
    JSON.stringify({ plugin: packageVersion(), node: process.version, server: version ? (JSON.parse(version) as unknown) : null }),
  );
  const definitions = await Promise.all(
    [plural, routerPlural].map((each) =>
      collector.tryRead(`definition of ${each}`, client.get(customResourceDefinitions, { name: `${each}.${group}` }, { signal })),
    ),
  );
  // their schemas are in the repository
  await collector.objects(
    'definitions.yaml',
    definitions.flatMap((each) =>
      each
        ? [
            {
              metadata: each.metadata,
              versions: each.spec.versions.map(({ name, storage, served }) => ({ name, storage, served })),
              status: each.status,
            },
          ]
        : [],
    ),
  );
  const list = await collector.tryRead('nodes', client.list(nodes, { signal }));
  await collector.objects('nodes.yaml', list?.items.map(nodeSummary) ?? []);
}

function nodeSummary({ metadata, spec, status }: Live<Node>): object {
  const shown =
    /^(kubernetes\.io\/(arch|os|hostname)|node\.kubernetes\.io\/instance-type|topology\.kubernetes\.io\/.*|nvidia\.com\/(gpu|cuda|mig).*)$/;
  return {
    name: metadata.name,
    createdAt: metadata.creationTimestamp,
    labels: Object.fromEntries(Object.entries(metadata.labels ?? {}).filter(([name]) => shown.test(name))),
    unschedulable: spec?.unschedulable ?? false,
    taints: spec?.taints ?? [],
    capacity: status?.capacity,
    allocatable: status?.allocatable,
    conditions: (status?.conditions ?? []).map(({ type, status: is, reason, message }) => ({ type, status: is, reason, message })),
    versions: status?.nodeInfo && {
      kubelet: status.nodeInfo.kubeletVersion,
      runtime: status.nodeInfo.containerRuntimeVersion,
      kernel: status.nodeInfo.kernelVersion,
      system: status.nodeInfo.osImage,
      architecture: status.nodeInfo.architecture,
    },
  };
}

/** The operator's objects, logs and metrics. @param namespace - that it runs in */
export async function collectOperator(
  { client, signal }: Scope,
  collector: Collector,
  namespace: string,
  bounds: LogBounds,
): Promise<void> {
  const labelSelector = toSelector(operatorLabels);
  const [operators, running, lease] = await Promise.all([
    collector.tryRead(
      `the operator's Deployment in namespace ${namespace}`,
      client.list(deployments, { namespace, labelSelector, signal }),
    ),
    collector.tryRead(`the operator's pods in namespace ${namespace}`, client.list(pods, { namespace, labelSelector, signal })),
    collector.tryRead(
      `the operator's lease in namespace ${namespace}`,
      client.find(leases, { namespace, name: operatorLease }, { signal }),
    ),
  ]);
  await collector.objects('operator/deployment.yaml', operators?.items ?? []);
  await collector.objects('operator/pods.yaml', running?.items ?? []);
  await collector.objects('operator/lease.yaml', lease ? [lease] : []);
  const found = running?.items ?? [];
  if (running && found.length === 0)
    collector.missing("the operator's logs", `it has no pods in namespace ${namespace}; say where it runs with --operator-namespace`);
  await collectLogs(client, collector, () => 'operator', found, bounds, signal);
  for (const pod of found.filter(isRunning)) {
    const port = pod.spec?.containers.flatMap(({ ports = [] }) => ports).find(({ name }) => name === 'metrics')?.containerPort ?? 8080;
    const text = await collector.tryRead(
      `metrics of the operator's pod ${pod.metadata.name}`,
      proxied(client, { namespace, name: pod.metadata.name, port }, '/metrics', { signal, maxBytes: maxMetricsBytes }),
    );
    if (text !== undefined) await collector.text(`operator/metrics/${pod.metadata.name}.txt`, text);
  }
}

export function isRunning({ status }: Live<Pod>): boolean {
  return status?.phase === 'Running';
}
