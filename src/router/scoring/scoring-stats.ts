import type { SpreadStats } from './spread-window.ts';

/** What a scoring service has done since it was opened, for metrics. */
export interface ScoringStats {
  /** False while the network's thread is being started again. */
  readonly up: boolean;
  /** Of the last start of the thread. */
  readonly loadMs: number;
  readonly rows: number;
  readonly batches: number;
  /** Rows waiting for a batch, and in the batch that is computed now. */
  readonly waitingRows: number;
  readonly runningRows: number;
  /** Time the network was busy. */
  readonly runMs: number;
  /** Threads lost. */
  readonly failures: number;
  /** Of the recovered raw logits; undefined where the bundle recovers none. */
  readonly spread: SpreadStats | undefined;
}

/** A batch that was scored, for histograms. */
export interface BatchReport {
  readonly rows: number;
  /** Requests that had rows in it. */
  readonly requests: number;
  readonly runMs: number;
  /** From handing the batch over to having its answer: the run and the way there and back. */
  readonly turnMs: number;
  /** What the batch's oldest row had waited before. */
  readonly waitedMs: number;
}

export interface ScoringObserver {
  batch(report: BatchReport): void;
  /** The thread was lost, or could not be started again. */
  failure(error: Error): void;
}
