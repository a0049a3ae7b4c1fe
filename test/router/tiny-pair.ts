import { join } from 'node:path';
import type { RouterConfig } from '../../src/api/router-config.ts';
import { startEngine, type RunningEngine } from '../../src/engine/server.ts';
import { startRouter, type RunningRouter } from '../../src/router/index.ts';
import { quietLog, Settable, until } from './stage.ts';

const models = join(import.meta.dirname, '../../examples/models');

/** The two example models on the CPU engine, and a router before them: everything real. */
export interface TinyPair {
  readonly slm: RunningEngine;
  readonly llm: RunningEngine;
  readonly router: RunningRouter;
  readonly slmPath: string;
  configure(change: Partial<RouterConfig>): void;
  close(): Promise<void>;
}

export async function startTinyPair(): Promise<TinyPair> {
  const slmPath = join(models, 'slm');
  const llmPath = join(models, 'llm');
  const fault = (error: unknown): void => {
    throw error;
  };
  const serve = (modelPath: string): Promise<RunningEngine> => startEngine({ modelPath, host: '127.0.0.1', port: 0, metrics: true }, fault);
  const [slm, llm] = await Promise.all([serve(slmPath), serve(llmPath)]);
  let current: RouterConfig = {
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
  const endpoints = new Settable<readonly { url: string; ready: boolean }[]>();
  endpoints.set([{ url: llm.url, ready: true }]);
  const router = await startRouter({
    slmUrl: slm.url,
    slmModelPath: slmPath,
    llmModelPath: llmPath,
    config,
    endpoints,
    log: quietLog,
    host: '127.0.0.1',
    port: 0,
    adminHost: '127.0.0.1',
    adminPort: 0,
    drainDelayMs: 0,
  });
  await until(() => router.readiness().ready, 'the router is ready', 60_000);
  return {
    slm,
    llm,
    router,
    slmPath,
    configure(change) {
      current = { ...current, ...change };
      config.set(JSON.stringify(current));
    },
    async close() {
      await router.stop();
      await Promise.all([slm.close(), llm.close()]);
    },
  };
}
