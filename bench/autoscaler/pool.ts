import { Conversations } from './conversations.ts';
import { Latencies } from './latencies.ts';
import { random, seedOf } from './random.ts';
import { loadOf, replicaModel, type Load } from './replica-model.ts';
import type { Workload } from './workloads.ts';

export const gpusPerReplica = 2;

/** A pod of the pool. */
export interface Pod {
  readonly id: string;
  readonly createdSecond: number;
  /** It has its GPUs: it is charged for. */
  scheduled: boolean;
  /** Infinity: never. */
  readySecond: number;
  ready: boolean;
  draining: boolean;
  drainingSinceSecond: number;
  costSet: boolean;
  readonly conversations: Conversations;
  prefillTokens: number;
  load: Load;
}

export interface Totals {
  tokens: number;
  /** Emitted while the pool was over its target: more than 5 % of the tokens of a window were slow. */
  lateTokens: number;
  /** Whose own LLM call took longer than the target, or that waited for a replica. */
  slowTokens: number;
  gpuSeconds: number;
}

/** As long as the operator's scrape interval. */
const windowSeconds = 5;
/** The target is one on the p95. */
const allowedSlow = 0.05;

/** What has been counted since the last scrape. */
export interface Counted {
  calls: number;
  callsDone: number;
  primedTokens: number;
}

/**
 * One pool of LLM replicas, the Deployment that makes them, and the conversations that call them; time goes by in seconds. A conversation stays with
 * the replica that it drew when it came, as with rendezvous hashing, and moves when that one goes.
 */
export class Pool {
  readonly workload: Workload;
  readonly totals: Totals = { tokens: 0, lateTokens: 0, slowTokens: 0, gpuSeconds: 0 };
  readonly latencies = new Latencies();
  counted: Counted = { calls: 0, callsDone: 0, primedTokens: 0 };
  pods: Pod[] = [];
  /** Tokens that each request needs that no replica could take yet. */
  waiting: number[] = [];
  /** `replicas` of the Deployment. */
  replicas: number;
  second = 0;
  readonly #seed: number;
  readonly #choice;
  #window = { tokens: 0, slow: 0 };
  #created = 0;
  #next = 0;

  constructor(workload: Workload, seed: number, replicas: number) {
    this.workload = workload;
    this.replicas = replicas;
    this.#seed = seed;
    this.#choice = random(seedOf(seed, 'choice'));
    for (let each = 0; each < replicas; each++) {
      const pod = this.#create();
      pod.scheduled = pod.ready = true;
      pod.readySecond = 0;
    }
  }

  readyPods(): readonly Pod[] {
    return this.pods.filter((pod) => pod.ready && !pod.draining);
  }

  /** One second goes by. */
  step(): void {
    this.#deployment();
    this.#arrivals();
    const share = this.workload.llmShare(this.second);
    for (const pod of this.pods) this.#serve(pod, share);
    this.#count(this.waiting.length * loadOf(1, share, 0).tokensPerSecond, 1);
    this.second++;
    if (this.second % windowSeconds === 0) this.#endWindow();
  }

  /** Routers stop choosing it: its conversations go on elsewhere. */
  drain(pod: Pod): void {
    pod.draining = true;
    pod.drainingSinceSecond = this.second;
    this.#moveAway(pod);
  }

  #count(tokens: number, slowShare: number): void {
    this.#window.tokens += tokens;
    this.#window.slow += tokens * slowShare;
  }

  #endWindow(): void {
    const { tokens, slow } = this.#window;
    this.totals.tokens += tokens;
    this.totals.slowTokens += slow;
    if (slow > allowedSlow * tokens) this.totals.lateTokens += tokens;
    this.#window = { tokens: 0, slow: 0 };
  }

  #deployment(): void {
    while (this.pods.length < this.replicas) this.#create();
    while (this.pods.length > this.replicas) this.#remove();
    let free = this.workload.gpus(this.second) - gpusPerReplica * this.pods.filter(({ scheduled }) => scheduled).length;
    for (const pod of this.pods) {
      if (!pod.scheduled && free >= gpusPerReplica) {
        pod.scheduled = true;
        pod.readySecond += this.second;
        free -= gpusPerReplica;
      }
      if (pod.scheduled) this.totals.gpuSeconds += gpusPerReplica;
      if (!pod.ready && pod.scheduled && pod.readySecond <= this.second) pod.ready = true;
    }
    if (this.waiting.length > 0 && this.readyPods().length > 0) for (const tokens of this.waiting.splice(0)) this.#place(tokens, 0);
  }

  /** Until it has been scheduled, `readySecond` is how long it takes from then on: facts/performance.md 4.3. */
  #create(): Pod {
    const ordinal = this.#created++;
    const draw = random(seedOf(this.#seed, `pod ${ordinal}`));
    const image = draw.next() < 0.7 ? 0 : 60 + 60 * draw.next();
    const weights = 61 + 30 * draw.next();
    const engine = 45 + 30 * draw.next();
    const pod: Pod = {
      id: `pod-${ordinal}`,
      createdSecond: this.second,
      scheduled: false,
      readySecond: this.workload.fails(this.second, ordinal) ? Infinity : 5 + image + weights + engine,
      ready: false,
      draining: false,
      drainingSinceSecond: 0,
      costSet: false,
      conversations: new Conversations(),
      prefillTokens: 0,
      load: loadOf(0, this.workload.llmShare(this.second), 0),
    };
    this.pods.push(pod);
    return pod;
  }

  /** As a ReplicaSet chooses: without a node, then not ready, then by deletion cost, then the youngest. */
  #remove(): void {
    const rank = (pod: Pod): number => (!pod.scheduled ? 0 : !pod.ready ? 1 : pod.costSet ? 2 : 3);
    const [gone] = [...this.pods].sort((a, b) => rank(a) - rank(b) || b.createdSecond - a.createdSecond);
    if (!gone) return;
    this.pods = this.pods.filter((pod) => pod !== gone);
    this.#moveAway(gone);
  }

  #moveAway(pod: Pod): void {
    for (const tokens of pod.conversations.takeAll()) this.#place(tokens, replicaModel.tokensPerContext);
  }

  #place(tokens: number, promptTokens: number): void {
    const ready = this.readyPods();
    const pod = ready[Math.floor(this.#choice.next() * ready.length)];
    if (!pod) {
      this.waiting.push(tokens);
      return;
    }
    pod.conversations.add(tokens);
    pod.prefillTokens += promptTokens;
    this.counted.primedTokens += promptTokens;
  }

  #arrivals(): void {
    const { at, promptTokens, tokens } = this.workload;
    for (; (at[this.#next] ?? Infinity) < this.second + 1; this.#next++)
      this.#place(tokens[this.#next] ?? 0, Math.min(replicaModel.maxPromptTokens, promptTokens[this.#next] ?? 0));
  }

  #serve(pod: Pod, share: number): void {
    const prefill = Math.min(replicaModel.maxPrefillShare, (pod.prefillTokens * replicaModel.prefillMsPerToken) / 1000);
    pod.prefillTokens = Math.max(0, pod.prefillTokens - (prefill * 1000) / replicaModel.prefillMsPerToken);
    const { count } = pod.conversations;
    const load = loadOf(count, share, prefill);
    pod.load = load;
    if (count === 0) return;
    const slow = (load.longestMs - replicaModel.latencyTargetMs) / (load.longestMs - load.shortestMs);
    this.#count(count * load.tokensPerSecond, Math.max(0, Math.min(1, slow)));
    this.counted.calls += load.callsPerSecond;
    this.counted.callsDone += load.callsPerSecond;
    this.latencies.add(load.shortestMs, load.longestMs, load.callsPerSecond);
    pod.conversations.advance(load.tokensPerSecond);
  }
}
