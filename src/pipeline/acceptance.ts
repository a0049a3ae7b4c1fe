import { PipelineError } from './errors.ts';
import type { Counts, PartPlan, Shard, StepDefinition, StepWork } from './step.ts';
import { sumOfCounts } from './workspace/manifest.ts';
import type { StepFolder } from './workspace/step-folder.ts';

/**
 * Decides over a step as a whole, whatever the shards and their order: as soon as the counts of finished parts can't be made good by those that
 * are left, and once more before the step is sealed.
 */
export class StepAcceptance<P> {
  readonly #definition: StepDefinition<P>;
  readonly #work: StepWork<P>;
  readonly #folder: StepFolder;
  readonly #plan: readonly PartPlan[];
  readonly #shard: Shard;
  /** Of finished parts, of other shards' too as far as they have been looked at. */
  readonly #counts = new Map<string, Counts>();
  #finishedHere = 0;
  #refused = false;

  constructor(definition: StepDefinition<P>, work: StepWork<P>, folder: StepFolder, plan: readonly PartPlan[]) {
    this.#definition = definition;
    this.#work = work;
    this.#folder = folder;
    this.#plan = plan;
    this.#shard = work.context.shard;
  }

  /** A part of this shard that was found finished. */
  found(part: PartPlan, counts: Counts): void {
    this.#counts.set(part.name, counts);
  }

  /** A part is about to be finished, and is not where this throws. @throws PipelineError */
  async finishing(part: PartPlan, counts: Counts): Promise<void> {
    if (!this.#definition.acceptance) return;
    // other shards are looked at after 1, 2, 4, … parts: rarely enough for a slow volume
    const own = ++this.#finishedHere;
    if (this.#shard.count > 1 && (own & (own - 1)) === 0) await this.#lookAtOthers();
    this.#counts.set(part.name, counts);
    this.check(sumOfCounts(this.#counts.values()));
  }

  /** @throws PipelineError */
  readonly check = (counts: Counts): void => {
    try {
      this.#definition.acceptance?.check(counts, this.#work);
    } catch (error) {
      this.#refused ||= error instanceof PipelineError;
      throw error;
    }
  };

  /** After a refusal: takes back all parts that it is due to, so that they are made again once what was wrong has been put right. */
  async takeBackAfterRefusal(): Promise<void> {
    const { acceptance } = this.#definition;
    if (!acceptance || !this.#refused) return;
    for (const { part, record } of await this.#folder.records(this.#plan))
      if (record && acceptance.isAtFault(record.counts)) await this.#folder.takeBack(part);
  }

  async #lookAtOthers(): Promise<void> {
    const unknown = this.#plan.filter(({ name }) => !this.#counts.has(name));
    for (const { part, record } of await this.#folder.records(unknown)) if (record) this.#counts.set(part.name, record.counts);
  }
}
