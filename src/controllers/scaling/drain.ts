/** Taking LLM pods away without losing a call: what the routers have acknowledged, and what is to be done next. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { containers } from '../../api/names.ts';
import { routerConfigKey } from '../../api/router-config.ts';
import type { RouterStatus } from '../../api/router-status.ts';
import type { DrainStatus } from '../../api/scaling-status.ts';
import type { DrainMark, RouterReport } from '../../autoscaler/index.ts';
import type { Live } from '../../kube/index.ts';
import type { ConfigMap, Pod } from '../../kube/resources.ts';

/** Where the Deployment's controller looks for which pod to delete first: the one with the lowest. */
export const deletionCost = 'controller.kubernetes.io/pod-deletion-cost';
/** Below every other pod's, whose cost is 0. */
export const drainedCost = '-1000';

/** The longest a router may take to acknowledge, beyond the timeout of a call. */
const patienceMs = 30_000;
const leastTimeoutMs = 60_000;

/** After so long a drain goes on without the routers that have not answered. */
export function drainTimeoutMs(llmTimeoutSeconds: number): number {
  return Math.max(leastTimeoutMs, llmTimeoutSeconds * 1000 + patienceMs);
}

/** What the routers' ConfigMap says of the LLM pool now. */
export interface ToldRouters {
  readonly drainingPodUIDs: readonly string[];
  readonly llmScaledToZero: boolean;
  /** Of the text as it is: what a router that has read it reports. */
  readonly digest: string;
}

const toldSchema = z.object({ drainingPodUIDs: z.array(z.string()).default([]), llmScaledToZero: z.boolean().default(false) });

export function toldRouters(map: ConfigMap | undefined): ToldRouters {
  const text = map?.data?.[routerConfigKey] ?? '';
  return {
    ...readTold(text),
    get digest() {
      return createHash('sha256').update(text).digest('hex');
    },
  };
}

const nothingTold = { drainingPodUIDs: [], llmScaledToZero: false };

function readTold(text: string): z.infer<typeof toldSchema> {
  // the usual case, met in each reconcile of each deployment
  if (text.includes('"drainingPodUIDs":[]') && !text.includes('"llmScaledToZero"')) return nothingTold;
  try {
    return toldSchema.parse(JSON.parse(text));
  } catch {
    // edited by hand; it is set right in this very reconcile
    return nothingTold;
  }
}

/** Routers that may hold a call to an LLM pod: also one that is ending finishes its answers first. */
export function routersThatMayCall(slmPods: readonly Live<Pod>[]): { readonly name: string; readonly address: string }[] {
  return slmPods.flatMap(({ metadata, status }) => {
    const runs = status?.containerStatuses?.some(({ name, state }) => name === containers.router && state?.running !== undefined);
    return runs && status?.podIP ? [{ name: metadata.name, address: status.podIP }] : [];
  });
}

/**
 * A router's answer as an acknowledgement: a pod that it does not know cannot be chosen by it either, once it has read the list.
 *
 * @param told - the configuration that the routers should have read by now
 */
export function reportOf(router: string, { configDigest, llmEndpoints }: RouterStatus, told: ToldRouters): RouterReport {
  const known = new Set(llmEndpoints.map(({ podUID }) => podUID));
  const unknown = configDigest === told.digest ? told.drainingPodUIDs.filter((uid) => !known.has(uid)) : [];
  const draining = llmEndpoints.flatMap((each) => (each.draining && each.podUID !== undefined ? [each.podUID] : []));
  const inFlight = llmEndpoints.flatMap((each) => (each.podUID === undefined ? [] : [[each.podUID, each.inFlight] as const]));
  return { router, draining: [...draining, ...unknown], inFlight: Object.fromEntries(inFlight) };
}

/** Drains under way, as the pods, the routers' configuration and the status before have them. */
export function drainMarks(pods: readonly Live<Pod>[], told: ToldRouters, before: readonly DrainStatus[], nowMs: number): DrainMark[] {
  return pods
    .filter(({ metadata }) => told.drainingPodUIDs.includes(metadata.uid))
    .map(({ metadata }) => {
      const since = before.find(({ uid }) => uid === metadata.uid)?.since;
      return {
        id: metadata.uid,
        sinceMs: since === undefined ? nowMs : Date.parse(since),
        costSet: metadata.annotations?.[deletionCost] === drainedCost,
      };
    });
}
