/** Models on a hub: downloaded by Jobs to a claim, before the pods that read them are made. */
export { ModelCache } from './model-cache.ts';
export type { ModelCacheOptions, ModelsState } from './model-cache.ts';
export { awaitingModels, keptModels, withModels } from './with-models.ts';
