export * from './types.ts';
export * from './state.ts';
export * from './decide.ts';
export * from './capacity.ts';
export * from './drain.ts';
export * from './collector.ts';
