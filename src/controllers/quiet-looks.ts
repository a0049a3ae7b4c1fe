import { isTrue } from '../api/conditions.ts';
import { labelKeys } from '../api/names.ts';
import type { R2RDeployment } from '../api/r2rdeployment.ts';
import type { R2RDeploymentStatus } from '../api/r2rdeployment-status.ts';
import type { RouterStatus } from '../api/router-status.ts';
import { parseKey } from '../kube/index.ts';
import type { Live } from '../kube/index.ts';
import { childrenOf, podsOfInstance } from './caches.ts';
import type { Caches } from './caches.ts';
import { runningRouterAddresses } from './role-state.ts';
import type { RouterClient } from './router-client.ts';
import { followedRouter } from './router-reference.ts';
import { digestOf } from './verified.ts';

/** After so many looks that found nothing new everything is looked at again, whatever is remembered. */
const trustedLooks = 8;

interface Known {
  readonly seen: string;
  readonly answers: string;
  looks: number;
}

/** How the routers answer one reconcile: each is asked once, whoever wants to know. */
export type Asked = Pick<RouterClient, 'status'>;

export function askedOnce(routers: Asked): Asked {
  const answers = new Map<string, Promise<RouterStatus | undefined>>();
  return {
    status(address, signal) {
      const answer = answers.get(address) ?? routers.status(address, signal);
      answers.set(address, answer);
      return answer;
    },
  };
}

/**
 * Looks at deployments at rest. What a reconcile does follows from what is in the caches, from what routers answer and, while something is under
 * way, from the time. So after one that had nothing to do the next one has nothing to do either for as long as caches and routers say the same: asking
 * the routers is all that is left of it. Lost on a restart, which costs one full look.
 */
export class QuietLooks {
  readonly #caches: Caches;
  readonly #known = new Map<string, Known>();

  constructor(caches: Caches) {
    this.#caches = caches;
  }

  /** Whether caches and routers say what they said when there was nothing to do. @param seen - see {@link seen} */
  async foundNothing(key: string, deployment: Live<R2RDeployment>, seen: string, routers: Asked, signal: AbortSignal): Promise<boolean> {
    const known = this.#known.get(key);
    if (!known || known.looks >= trustedLooks || known.seen !== seen) return false;
    if (known.answers !== (await this.#answers(deployment, routers, signal))) return false;
    known.looks += 1;
    return true;
  }

  /**
   * A reconcile had nothing to do.
   *
   * @param seen - before the reconcile read anything: what came into the caches while it worked is news for the next one
   * @param status - as it found it, and as it is to be
   */
  async hadNothingToDo(
    key: string,
    deployment: Live<R2RDeployment>,
    seen: string,
    status: R2RDeploymentStatus,
    routers: Asked,
    signal: AbortSignal,
  ): Promise<void> {
    this.forget(key);
    const { conditions } = status;
    const rests = isTrue(conditions, 'Ready') && !isTrue(conditions, 'Reconciling') && !isTrue(conditions, 'Stalled');
    // of pods that end, and of pools that are scaled, more is decided by the time
    const { llm, slm } = deployment.spec;
    if (!rests || llm.autoscaling || slm.autoscaling || this.#pods(deployment).some(isEnding)) return;
    const answers = await this.#answers(deployment, routers, signal);
    if (answers !== undefined) this.#known.set(key, { seen, answers, looks: 0 });
  }

  forget(key: string): void {
    this.#known.delete(key);
  }

  /** Stands for everything that a reconcile reads from caches. */
  seen(deployment: Live<R2RDeployment>): string {
    const router = followedRouter(deployment);
    const objects = [
      deployment,
      ...childrenOf(this.#caches, deployment.metadata.uid).map(({ object }) => object),
      ...this.#pods(deployment),
      router === undefined ? undefined : this.#caches.routers.get(parseKey(router)),
    ];
    const versions = objects.map((object) => object && [object.metadata.uid, object.metadata.resourceVersion]);
    return digestOf([this.#caches.leaderWorkerSets.absent, versions]);
  }

  /** Stands for what the running routers of all revisions answer; undefined where one does not. */
  async #answers(deployment: Live<R2RDeployment>, routers: Asked, signal: AbortSignal): Promise<string | undefined> {
    const slmPods = this.#pods(deployment).filter(({ metadata }) => metadata.labels?.[labelKeys.component] === 'slm');
    const addresses = runningRouterAddresses(slmPods);
    const answers = await Promise.all(addresses.map((address) => routers.status(address, signal)));
    return answers.includes(undefined) ? undefined : digestOf([addresses, answers]);
  }

  #pods({ metadata }: Live<R2RDeployment>): ReturnType<typeof podsOfInstance> {
    return podsOfInstance(this.#caches, metadata);
  }
}

function isEnding({ metadata }: Live): boolean {
  return metadata.deletionTimestamp !== undefined;
}
