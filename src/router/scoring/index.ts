/** Turns drafted rows into the numbers that strategies look at. */
export { ScoringError, type ScoringErrorCode } from './errors.ts';
export { openScoring, plainScorer, type Scoring } from './scoring.ts';
export type { ServiceOptions as ScoringOptions } from './network-service.ts';
export type { BatchReport, ScoringObserver, ScoringStats } from './scoring-stats.ts';
export { noSignals, signalNames, type ScorableRow, type Scorer, type SignalName, type Signals } from './signals.ts';
export type { SpreadStats } from './spread-window.ts';
