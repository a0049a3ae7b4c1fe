/** The cluster with images and operator, shared by the e2e files of one mocha process and made by whichever needs it first. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { findCondition, isTrue } from '../../src/api/conditions.ts';
import type { Condition } from '../../src/api/r2rdeployment-status.ts';
import type { R2RDeployment } from '../../src/api/r2rdeployment.ts';
import { installManifest } from '../../tools/install-manifest.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { deploymentImages, loadImages } from '../cluster/images.ts';
import { until } from '../cluster/progress.ts';
import { progress, sharedCluster } from '../cluster/shared.ts';

const root = join(import.meta.dirname, '../..');
export const operatorNamespace = 'r2r-system';

export interface Environment {
  readonly cluster: Cluster;
  /** Parsed JSON of `kubectl get … -o json`. */
  get<T>(...args: string[]): Promise<T>;
  apply(object: object): Promise<void>;
  patch(namespace: string, name: string, patch: object): Promise<void>;
  deployment(namespace: string, name: string): Promise<R2RDeployment>;
  /** Waits for a condition's status (and reason) at the present generation. */
  condition(
    namespace: string,
    name: string,
    type: 'Ready',
    want: { status: string; reason?: RegExp },
    timeoutMs: number,
  ): Promise<Condition>;
}

let shared: Promise<Environment> | undefined;

export function operatorEnvironment(): Promise<Environment> {
  return (shared ??= makeEnvironment());
}

/** The example every user starts from, under another name and with changes merged into its spec. */
export function example(namespace: string, name: string, change: { slm?: object; llm?: object; router?: object } = {}): R2RDeployment {
  const base = parse(readFileSync(join(root, 'examples/r2rdeployment.yaml'), 'utf8')) as R2RDeployment;
  const { slm, llm, router } = base.spec;
  return {
    ...base,
    metadata: { name, namespace },
    spec: { ...base.spec, slm: { ...slm, ...change.slm }, llm: { ...llm, ...change.llm }, router: { ...router, ...change.router } },
  };
}

async function makeEnvironment(): Promise<Environment> {
  const cluster = await sharedCluster();
  if (cluster.isLocal) await loadImages(cluster, deploymentImages, progress);
  await cluster.kubectl(['apply', '--server-side', '--force-conflicts', '--filename', '-'], { input: installManifest() });
  await cluster.kubectl(['wait', '--for=condition=Established', 'crd/r2rdeployments.r2r.dev', '--timeout=60s']);
  // the same tag may now stand for newer code
  await cluster.kubectl(['rollout', 'restart', 'deployment/r2r-operator', `--namespace=${operatorNamespace}`]);
  await cluster.kubectl(['rollout', 'status', 'deployment/r2r-operator', `--namespace=${operatorNamespace}`, '--timeout=180s'], {
    timeoutMs: 200_000,
  });

  const get = async <T>(...args: string[]): Promise<T> => JSON.parse(await cluster.kubectl(['get', ...args, '--output', 'json'])) as T;
  const deployment = (namespace: string, name: string): Promise<R2RDeployment> => get('r2r', name, '--namespace', namespace);
  return {
    cluster,
    get,
    deployment,
    apply: async (object) => {
      await cluster.kubectl(['apply', '--filename', '-'], { input: JSON.stringify(object) });
    },
    patch: async (namespace, name, patch) => {
      await cluster.kubectl(['patch', 'r2r', name, '--namespace', namespace, '--type=merge', '--patch', JSON.stringify(patch)]);
    },
    condition: (namespace, name, type, want, timeoutMs) => {
      let seen: Condition | undefined;
      return until(`${name} ${type}=${want.status} ${want.reason ?? ''}`, timeoutMs, async () => {
        const { metadata, status } = await deployment(namespace, name);
        seen = findCondition(status?.conditions, type);
        const fits =
          seen?.status === want.status && seen.observedGeneration === metadata.generation && (want.reason?.test(seen.reason) ?? true);
        // rolled out, not only answering
        const underWay = want.status === 'True' && isTrue(status?.conditions, 'Reconciling');
        if (underWay) throw new Error('it is still Reconciling');
        if (!fits) throw new Error(`it is ${seen?.status} ${seen?.reason}: ${seen?.message}`);
        return seen;
      });
    },
  };
}
