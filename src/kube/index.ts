/** A small controller runtime for Kubernetes operators. It knows nothing of R2R. See docs/adr/0003-own-controller-runtime.md. */
export * from './apply.ts';
export * from './change-filter.ts';
export * from './client.ts';
export * from './clock.ts';
export * from './contained.ts';
export * from './controller.ts';
export * from './errors.ts';
export * from './events.ts';
export * from './informer.ts';
export * from './lease.ts';
export * from './logger.ts';
export * from './manager.ts';
export * from './metrics.ts';
export * from './object.ts';
export * from './owner.ts';
export * from './resource-type.ts';
export * from './resources.ts';
export type { WatchEvent } from './watch-stream.ts';
