/**
 * One cluster for all test files of a mocha process: started by the first that asks, removed at the end if it was not there before.
 * `R2R_TEST_CONTEXT=NAME` runs them on an existing cluster instead.
 */
import { totalmem } from 'node:os';
import { ensureCluster, type Cluster } from './cluster.ts';
import { down } from './down.ts';
import { baseImage } from './images.ts';
import { assertCanRun, PrerequisiteError, thisMachine } from './prerequisites.ts';
import { stderrProgress } from './progress.ts';
import { otherUsers } from './users.ts';

export const progress = stderrProgress();
let startedHere = false;

/** The shared cluster, running. Call it in a `before` hook with some minutes of timeout: the first call may have to build Kubernetes. */
export async function sharedCluster(): Promise<Cluster> {
  const context = process.env.R2R_TEST_CONTEXT;
  const cluster = await ensureCluster(context ? { context, progress } : { progress });
  startedHere ||= cluster.startedHere;
  return cluster;
}

/** Whether the running cluster is one of ours to remove. */
export const startedByTests = (): boolean => startedHere;

/** Why the local cluster cannot run here, as a sentence; undefined when it can. */
export function whyNoCluster(): string | undefined {
  if (process.env.R2R_TEST_CONTEXT) return undefined;
  try {
    assertCanRun(thisMachine(totalmem()));
    return undefined;
  } catch (error) {
    if (error instanceof PrerequisiteError) return error.message;
    throw error;
  }
}

/** The name of an image on the cluster's node that has Node and busybox: for pods that only tests need. */
export async function loadBaseImage(cluster: Cluster): Promise<string> {
  const { image, archive } = await baseImage(progress);
  if (!(await cluster.images()).includes(image)) await cluster.importImage(archive);
  return image;
}

after('remove the local cluster if these tests started it', async function () {
  this.timeout(120_000);
  if (!startedHere) return;
  const others = await otherUsers();
  if (others.length > 0) progress(`the cluster stays: process ${others.join(', ')} uses it too`);
  else await down(progress);
});
