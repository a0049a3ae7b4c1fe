import type { Clock, Counts, Shard } from './step.ts';

/** How far a step is, as `/progress` has it and the log says it. */
export interface ProgressReport {
  readonly step: string;
  readonly hash: string;
  readonly shard: Shard;
  /** What `done` and `total` count. */
  readonly unit: string;
  readonly done: number;
  /** Of this shard. */
  readonly total: number;
  /** Part of `done`: found done when the process began. */
  readonly resumed: number;
  /** Of what this process did itself, over the last minutes. */
  readonly perSecond: number;
  /** Null while nothing tells. */
  readonly etaSeconds: number | null;
  readonly tokens: number;
  readonly tokensPerSecond: number;
  readonly callsInFlight: number;
  /** Time average of min(calls in flight, concurrency) / concurrency since the first call. */
  readonly engineUtilisation: number;
  readonly partsDone: number;
  readonly partsTotal: number;
  /** Of the finished parts. */
  readonly counts: Counts;
  readonly startedSecondsAgo: number;
}

/** Who runs, and how much there is to do. */
export interface ProgressStart {
  readonly step: string;
  readonly hash: string;
  readonly shard: Shard;
  readonly unit: string;
  readonly total: number;
  readonly partsTotal: number;
  readonly concurrency: number;
}

/** Rates are those of so long ago until now: a step's questions differ in length. */
const windowMs = 300_000;
const sampleMs = 5_000;

interface Sample {
  readonly atMs: number;
  readonly own: number;
  readonly tokens: number;
}

/** Counts what a step has done and estimates what is left. */
export class Progress {
  readonly #clock: Clock;
  readonly #createdMs: number;
  #start: ProgressStart = { step: '', hash: '', shard: { index: 0, count: 1 }, unit: '', total: 0, partsTotal: 0, concurrency: 1 };
  #done = 0;
  #resumed = 0;
  #tokens = 0;
  #partsDone = 0;
  #counts: Record<string, number> = {};
  #samples: Sample[] = [];
  #calls = 0;
  #firstCallMs: number | undefined;
  #lastCallMs = 0;
  #busyMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#createdMs = clock.nowMs();
  }

  start(start: ProgressStart): void {
    this.#start = start;
    this.#samples = [{ atMs: this.#clock.nowMs(), own: 0, tokens: 0 }];
  }

  /** Work done now. */
  advance(units: number, { tokens = 0 }: { readonly tokens?: number } = {}): void {
    this.#done += units;
    this.#tokens += tokens;
    this.#sample();
  }

  /** Work that was found done. */
  resume(units: number): void {
    this.#done += units;
    this.#resumed += units;
  }

  partDone(counts: Counts): void {
    this.#partsDone++;
    for (const [name, count] of Object.entries(counts)) this.#counts[name] = (this.#counts[name] ?? 0) + count;
  }

  /** One more call in flight, or with -1 one fewer. */
  call(change: 1 | -1): void {
    this.#settleCalls();
    this.#firstCallMs ??= this.#lastCallMs;
    this.#calls += change;
  }

  report(): ProgressReport {
    this.#settleCalls();
    const now = this.#clock.nowMs();
    const { step, hash, shard, unit, total, partsTotal, concurrency } = this.#start;
    const own = this.#done - this.#resumed;
    const first = this.#samples[0];
    const seconds = first ? (now - first.atMs) / 1000 : 0;
    const perSecond = first && seconds > 0 ? (own - first.own) / seconds : 0;
    const left = Math.max(0, total - this.#done);
    const callMs = this.#firstCallMs === undefined ? 0 : now - this.#firstCallMs;
    return {
      step,
      hash,
      shard,
      unit,
      done: this.#done,
      total: Math.max(total, this.#done),
      resumed: this.#resumed,
      perSecond,
      etaSeconds: left === 0 ? 0 : perSecond > 0 ? Math.ceil(left / perSecond) : null,
      tokens: this.#tokens,
      tokensPerSecond: first && seconds > 0 ? (this.#tokens - first.tokens) / seconds : 0,
      callsInFlight: this.#calls,
      engineUtilisation: callMs > 0 ? this.#busyMs / (callMs * concurrency) : 0,
      partsDone: this.#partsDone,
      partsTotal,
      counts: { ...this.#counts },
      startedSecondsAgo: (now - this.#createdMs) / 1000,
    };
  }

  #settleCalls(): void {
    const now = this.#clock.nowMs();
    this.#busyMs += Math.min(this.#calls, this.#start.concurrency) * (now - this.#lastCallMs);
    this.#lastCallMs = now;
  }

  #sample(): void {
    const atMs = this.#clock.nowMs();
    if (atMs - (this.#samples.at(-1)?.atMs ?? -sampleMs) < sampleMs) return;
    this.#samples.push({ atMs, own: this.#done - this.#resumed, tokens: this.#tokens });
    while (this.#samples.length > 2 && atMs - (this.#samples[1]?.atMs ?? atMs) > windowMs) this.#samples.shift();
  }
}
