import type { RouterStatus } from '../../api/router-status.ts';
import type { Live } from '../../kube/index.ts';
import type { R2RDeployment } from '../../api/r2rdeployment.ts';
import { adminPort, podKey, type RouterAnswer } from '../view/router-answers.ts';
import type { DeploymentFamily } from '../view/resources.ts';

/** One line of `top`: a router, or all of a deployment. Shares are of the tokens of the routers' last minute; undefined where none came. */
export interface Numbers {
  readonly llmShare: number | undefined;
  readonly fallbackShare: number | undefined;
  readonly tokensPerSecond: number | undefined;
  /** Calls started on LLM replicas a second, since the reading before; undefined at the first. */
  readonly llmCallsPerSecond: number | undefined;
  /** Client requests being answered now. */
  readonly inFlight: number | undefined;
}

export interface RouterNumbers extends Numbers {
  readonly pod: string;
  /** LLM replicas that it sends calls to, of those it knows. */
  readonly llmReady: number;
  readonly llmKnown: number;
  readonly threshold: number | undefined;
  readonly bundle: string | undefined;
}

export interface DeploymentNumbers extends Numbers {
  readonly namespace: string;
  readonly name: string;
  /** Ready and wanted pods: 1/1. */
  readonly slm: string | undefined;
  readonly llm: string | undefined;
  /** Routers that answered now, of those that run. With none the numbers are those of the resource's status. */
  readonly routersAnswered: number;
  readonly routersRunning: number;
  /** When the status was last written. */
  readonly statusChangedAt: string | undefined;
  readonly routers: readonly RouterNumbers[];
}

/** The answers of one reading, by pod. */
export type Reading = ReadonlyMap<string, RouterAnswer>;

/** @param before - an earlier reading, from which rates are counted */
export function deploymentNumbers({ deployment, pods }: DeploymentFamily, now: Reading, before: Reading | undefined): DeploymentNumbers {
  const { metadata, status } = deployment;
  const answered = pods.flatMap((pod) => {
    const answer = now.get(podKey(pod));
    return answer ? [{ answer, earlier: before?.get(podKey(pod)) }] : [];
  });
  const statuses = answered.map(({ answer }) => answer.status);
  const rates = answered.map(({ answer, earlier }) => callRate(answer, earlier));
  const summed = numbersOf(statuses, rates);
  const { routing, summary } = status ?? {};
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    slm: summary?.slm,
    llm: summary?.llm,
    ...(answered.length > 0
      ? { ...summed, llmShare: summed.llmShare ?? routing?.ratio }
      : { ...numbersOf([], []), llmShare: routing?.ratio, tokensPerSecond: routing?.tokensPerSecond }),
    routersAnswered: answered.length,
    routersRunning: pods.filter((pod) => adminPort(pod) !== undefined).length,
    statusChangedAt: statusChangedAt(deployment),
    routers: answered.map(({ answer }, index) => routerNumbers(answer, rates[index])),
  };
}

function routerNumbers({ pod, status }: RouterAnswer, rate: number | undefined): RouterNumbers {
  return {
    pod,
    ...numbersOf([status], [rate]),
    llmReady: status.llmEndpoints.filter(({ ready, draining }) => ready && !draining).length,
    llmKnown: status.llmEndpoints.length,
    threshold: status.threshold,
    bundle: status.bundle?.digest,
  };
}

function numbersOf(routers: readonly RouterStatus[], rates: readonly (number | undefined)[]): Numbers {
  const sum = (of: (router: RouterStatus) => number): number => routers.reduce((total, router) => total + of(router), 0);
  const [slm, llm, fallback] = (['slm', 'llm', 'fallback'] as const).map((source) => sum(({ window }) => window.tokens[source])) as [
    number,
    number,
    number,
  ];
  const all = slm + llm + fallback;
  const known = rates.filter((rate) => rate !== undefined);
  return {
    llmShare: all > 0 ? llm / all : undefined,
    fallbackShare: all > 0 ? fallback / all : undefined,
    tokensPerSecond: routers.length > 0 ? sum(({ window }) => window.tokensPerSecond) : undefined,
    llmCallsPerSecond: known.length > 0 ? known.reduce((total, rate) => total + rate, 0) : undefined,
    inFlight: routers.length > 0 ? sum(({ inFlight }) => inFlight) : undefined,
  };
}

/** Undefined without an earlier answer, and for a router that was started anew in between. */
function callRate(now: RouterAnswer, before: RouterAnswer | undefined): number | undefined {
  const [later, earlier] = [now.status.llmCalls?.started, before?.status.llmCalls?.started];
  if (before === undefined || later === undefined || earlier === undefined || later < earlier || now.atMs <= before.atMs) return undefined;
  return (later - earlier) / ((now.atMs - before.atMs) / 1000);
}

/** The API server notes when each manager last wrote; a status that stays the same is not written. */
function statusChangedAt({ metadata }: Live<R2RDeployment>): string | undefined {
  const times = (metadata.managedFields ?? []).flatMap(({ subresource, time }) =>
    subresource === 'status' && time !== undefined ? [time] : [],
  );
  return times.sort().at(-1);
}
