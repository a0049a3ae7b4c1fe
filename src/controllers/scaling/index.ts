export { ScalingMetrics } from './metrics.ts';
export { Pools } from './pools.ts';
export type { Scalers, SettledPools } from './pools.ts';
export { ScalingLoop } from './scaling-loop.ts';
export { suspendedPools } from './suspended.ts';
