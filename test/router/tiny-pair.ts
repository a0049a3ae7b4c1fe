import { join } from 'node:path';
import type { RouterConfigInput } from '../../src/api/router-config.ts';
import { startEngine, type RunningEngine } from '../../src/engine/server.ts';
import { startRouter, type LlmEndpoint, type RouterOptions, type RunningRouter } from '../../src/router/index.ts';
import { quietLog, Settable, until } from './stage.ts';

const models = join(import.meta.dirname, '../../examples/models');

/** The folders of the example models. */
export const tinyModels = { slm: join(models, 'slm'), llm: join(models, 'llm'), problems: join(models, 'problems/held-out.jsonl') };

/** A router before servers of the two example models. */
export interface TinyRouter {
  readonly router: RunningRouter;
  configure(change: Partial<RouterConfigInput>): void;
}

/** Starts a router before two servers of the example models and waits until it is ready. */
export async function startTinyRouter(slmUrl: string, llmUrl: string, options: Partial<RouterOptions> = {}): Promise<TinyRouter> {
  let current: RouterConfigInput = {
    modelName: 'tiny',
    strategy: 'entropy',
    threshold: 0.45,
    maxDraftTokens: 8,
    onLLMUnavailable: 'Fail',
    llmTimeoutSeconds: 30,
    drainingPodUIDs: [],
  };
  const config = new Settable<string>();
  config.set(JSON.stringify(current));
  const endpoints = new Settable<readonly LlmEndpoint[]>();
  endpoints.set([{ url: llmUrl, ready: true }]);
  const router = await startRouter({
    slmUrl,
    slmModelPath: tinyModels.slm,
    llmModelPath: tinyModels.llm,
    config,
    endpoints,
    log: quietLog,
    host: '127.0.0.1',
    port: 0,
    adminHost: '127.0.0.1',
    adminPort: 0,
    drainDelayMs: 0,
    drainTimeoutMs: 10_000,
    ...options,
  });
  await until(() => router.readiness().ready, 'the router is ready', 60_000);
  return {
    router,
    configure(change) {
      current = { ...current, ...change };
      config.set(JSON.stringify(current));
    },
  };
}

/** The two example models on the CPU engine, and a router before them: everything real. */
export interface TinyPair extends TinyRouter {
  readonly slm: RunningEngine;
  readonly llm: RunningEngine;
  close(): Promise<void>;
}

export async function startTinyPair(options: Partial<RouterOptions> = {}): Promise<TinyPair> {
  const serve = (modelPath: string): Promise<RunningEngine> =>
    startEngine({ modelPath, host: '127.0.0.1', port: 0, metrics: true, returnHiddenStates: true }, (error) => {
      throw error;
    });
  const [slm, llm] = await Promise.all([serve(tinyModels.slm), serve(tinyModels.llm)]);
  const tiny = await startTinyRouter(slm.url, llm.url, options);
  return {
    ...tiny,
    slm,
    llm,
    async close() {
      await tiny.router.stop();
      await Promise.all([slm.close(), llm.close()]);
    },
  };
}
