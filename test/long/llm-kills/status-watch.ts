/** Holds what the operator says of a deployment against its pods, all the time. */
import { pause } from '../../../src/kube/clock.ts';
import { findCondition, reasons } from '../../../src/api/conditions.ts';
import { r2rDeployments } from '../../../src/controllers/resource-types.ts';
import type { KubeClient } from '../../../src/kube/index.ts';
import { pods } from '../../../src/kube/resources.ts';
import type { Pod } from '../../../src/kube/resources.ts';

/** So late may the status be: looks at it, at the pods and at routers take their time on a busy machine. */
const toleranceMs = 10_000;
const everyMs = 250;

export interface StatusWatchOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  readonly llmSelector: string;
}

export class StatusWatch {
  /** What was said and had not been so for longer than the tolerance, one line each. */
  readonly lies = new Set<string>();
  /** Reasons that condition Ready had, e.g. `True Serving`. */
  readonly readyAs = new Set<string>();
  looks = 0;
  /** Looks at which the operator said that routers do not answer it. On a machine that has too much to do that is so, and no lie. */
  unreachable = 0;
  readonly #options: StatusWatchOptions;
  /** How many LLM pods were ready, and when. */
  readonly #truth: { readonly at: number; readonly ready: number }[] = [];

  constructor(options: StatusWatchOptions) {
    this.#options = options;
  }

  async run(over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      await this.#look();
      await pause(everyMs, over);
    }
  }

  async #look(): Promise<void> {
    const { client, namespace, name, llmSelector } = this.#options;
    // in this order: the status cannot know of pods what is not known here
    const { status } = await client.get(r2rDeployments, { namespace, name });
    const { items } = await client.list<Pod>(pods, { namespace, labelSelector: llmSelector });
    this.looks++;
    const isReady = ({ metadata, status: is }: Pod): boolean =>
      !metadata?.deletionTimestamp && (is?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') ?? false);
    const now = performance.now();
    this.#truth.push({ at: now, ready: items.filter(isReady).length });
    while ((this.#truth[1]?.at ?? now) < now - toleranceMs) this.#truth.shift();
    // two counts may both have been passed between two looks
    const counts = this.#truth.map(({ ready }) => ready);
    const [least, most] = [Math.min(...counts), Math.max(...counts)];

    const told = (type: Parameters<typeof findCondition>[1]) => findCondition(status?.conditions, type);
    const [ready, llm] = [told('Ready'), told('LLMReady')];
    this.readyAs.add(`${ready?.status} ${ready?.reason}`);
    const inTruth = `of late ${[...new Set(counts)].join(', ')} were ready`;
    const count = Number(status?.summary?.llm?.split('/')[0]);
    if (!(count >= least && count <= most)) this.lies.add(`summary.llm ${status?.summary?.llm}; ${inTruth}`);
    if ((llm?.status === 'True' && most < 2) || (llm?.status === 'False' && least === 2))
      this.lies.add(`LLMReady ${llm.message}; ${inTruth}`);
    if ((ready?.status === 'True' && most === 0) || (ready?.status !== 'True' && least > 0))
      this.lies.add(`Ready ${ready?.status}: ${ready?.message}; ${inTruth}`);
    // nothing happens to the others: what is reached is no roll-out, nothing is stuck, and routers answer
    for (const [type, right] of [
      ['Reconciling', 'False'],
      ['Stalled', 'False'],
      ['SLMReady', 'True'],
      ['RouterReady', 'True'],
    ] as const) {
      const condition = told(type);
      if (condition?.reason === reasons.routerUnreachable) this.unreachable++;
      else if (condition?.status !== right) this.lies.add(`${type} ${condition?.status} ${condition?.reason}: ${condition?.message}`);
    }
  }
}
