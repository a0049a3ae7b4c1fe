/** Scaling of one pool: a pure decision from plain samples. docs/autoscaling.md. */
export * from './collector.ts';
export * from './capacity.ts';
export { decide, type Decided } from './decide.ts';
export * from './drain.ts';
export { initialState, type CurrentPool, type KnownBefore, type ScalingState } from './state.ts';
export * from './types.ts';
