import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RouterConfigInput } from '../../src/api/router-config.ts';
import { networkLoader } from '../../src/cli/network-loader.ts';
import type { Emulation } from '../../src/engine/emulation.ts';
import { startEngine } from '../../src/engine/server.ts';
import { fixedConfig, fixedEndpoints, startRouter } from '../../src/router/index.ts';

export const models = join(import.meta.dirname, '../../examples/models');

export interface PairOptions {
  /** Step times of GPUs. @default as fast as this machine is */
  readonly emulation?: { readonly slm: Emulation; readonly llm: Emulation };
  /** A `.pt` file or a bundle. @default the example's */
  readonly checkpoint?: string;
}

/** Starts engines and a router, and hands their address to `use`. */
export async function withPair<T>({ emulation, checkpoint }: PairOptions, use: (url: string) => Promise<T>): Promise<T> {
  const serve = (name: 'slm' | 'llm') =>
    startEngine(
      {
        modelPath: join(models, name),
        host: '127.0.0.1',
        port: 0,
        returnHiddenStates: true,
        ...(emulation && { emulation: emulation[name] }),
      },
      (error) => {
        throw error;
      },
    );
  const [slm, llm] = await Promise.all([serve('slm'), serve('llm')]);
  const config: RouterConfigInput = {
    modelName: 'tiny',
    strategy: 'neural',
    checkpoint: { uri: checkpoint ?? join(models, 'router/router.pt') },
    maxDraftTokens: 32,
    onLLMUnavailable: 'Fail',
    llmTimeoutSeconds: 60,
    drainingPodUIDs: [],
  };
  const silent = { info: () => undefined, warn: console.warn, error: console.error };
  const router = await startRouter({
    slmUrl: slm.url,
    slmModelPath: join(models, 'slm'),
    llmModelPath: join(models, 'llm'),
    config: fixedConfig(JSON.stringify(config)),
    endpoints: fixedEndpoints([llm.url]),
    loadNetwork: networkLoader({
      slmFolder: join(models, 'slm'),
      cacheFolder: mkdtempSync(join(tmpdir(), 'r2r-quality-')),
      hub: { endpoint: '' },
      threads: 1,
      log: silent,
    }),
    log: silent,
    host: '127.0.0.1',
    port: 0,
    adminHost: '127.0.0.1',
    adminPort: 0,
    drainDelayMs: 0,
  });
  try {
    while (!router.readiness().ready) await sleep(50);
    return await use(router.url);
  } finally {
    await router.stop();
    await Promise.all([slm.close(), llm.close()]);
  }
}
