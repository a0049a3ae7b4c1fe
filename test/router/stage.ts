import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RouterConfigInput } from '../../src/api/router-config.ts';
import { startRouter, type ConfigSource, type EndpointSource, type LlmEndpoint, type RunningRouter } from '../../src/router/index.ts';
import type { RouterOptions } from '../../src/router/index.ts';
import { vocabulary, writeModelFolder } from './model-folder.ts';
import { distribution } from './scripted-models.ts';
import { ScriptedServer, type ScriptedServerOptions } from './scripted-server.ts';

/** One position of a scripted answer: what the SLM says, whether it is sure, and what the LLM says there. */
export interface Line {
  readonly id: number;
  readonly unsure?: boolean;
  readonly llm?: number;
}

/** A source that a test sets. */
export class Settable<T> {
  #value: T | undefined;
  readonly #listeners = new Set<(value: T) => void>();

  subscribe(listener: (value: T) => void): () => void {
    this.#listeners.add(listener);
    if (this.#value !== undefined) listener(this.#value);
    return () => this.#listeners.delete(listener);
  }

  set(value: T): void {
    this.#value = value;
    for (const listener of this.#listeners) listener(value);
  }
}

export const quietLog = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** Byte tokens of a text, every one certain. */
export const say = (text: string): Line[] => [...Buffer.from(text)].map((id) => ({ id }));

export interface StageOptions {
  readonly lines: readonly Line[];
  readonly llms?: number;
  readonly config?: Partial<RouterConfigInput>;
  readonly slm?: Partial<ScriptedServerOptions>;
  readonly llm?: Partial<ScriptedServerOptions>;
  readonly router?: Partial<RouterOptions>;
}

/** A router between a scripted SLM server and scripted LLM servers, all on sockets of this machine. */
export interface Stage {
  readonly router: RunningRouter;
  readonly slm: ScriptedServer;
  readonly llms: readonly ScriptedServer[];
  readonly config: ConfigSource & Settable<string>;
  readonly endpoints: EndpointSource & Settable<readonly LlmEndpoint[]>;
  configure(change: Partial<RouterConfigInput>): void;
  close(): Promise<void>;
}

const baseConfig: RouterConfigInput = {
  modelName: 'pair',
  strategy: 'entropy',
  threshold: 1,
  maxDraftTokens: 8,
  onLLMUnavailable: 'UseSLM',
  llmTimeoutSeconds: 30,
  drainingPodUIDs: [],
};

const assistant = Buffer.from('assistant\n').length;

/** Where in the scripted answer a prefix stands: the prompt ends with the assistant's header, and perhaps the opening think tag. */
function positionOf(prefix: readonly number[]): number {
  const answer = prefix.lastIndexOf(vocabulary.start) + 1 + assistant;
  return prefix.length - answer;
}

export async function stage(options: StageOptions): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'r2r-router-'));
  const slmModelPath = await writeModelFolder(join(folder, 'slm'));
  const llmModelPath = await writeModelFolder(join(folder, 'llm'));
  const end: Line = { id: vocabulary.end };
  const lineAt = (prefix: readonly number[]): Line => options.lines[positionOf(prefix)] ?? end;
  const common = { vocabSize: vocabulary.vocabSize, endIds: [vocabulary.end] };
  const slm = await new ScriptedServer({
    next: (prefix) => ({ id: lineAt(prefix).id, top: distribution(lineAt(prefix).id, lineAt(prefix).unsure ? 0.3 : 0.99) }),
    ...common,
    ...options.slm,
  }).start();
  const startLlm = (): Promise<ScriptedServer> =>
    new ScriptedServer({
      next: (prefix) => {
        const { id, llm = id } = lineAt(prefix);
        return { id: llm, top: distribution(llm, 0.9) };
      },
      ...common,
      ...options.llm,
    }).start();
  const llms = await Promise.all(Array.from({ length: options.llms ?? 1 }, startLlm));
  const config = new Settable<string>();
  const endpoints = new Settable<readonly LlmEndpoint[]>();
  let current = { ...baseConfig, ...options.config };
  config.set(JSON.stringify(current));
  endpoints.set(llms.map(({ url }, index) => ({ url, podUID: `pod-${index}`, ready: true })));
  const router = await startRouter({
    slmUrl: slm.url,
    slmModelPath,
    llmModelPath,
    config,
    endpoints,
    log: quietLog,
    host: '127.0.0.1',
    port: 0,
    adminHost: '127.0.0.1',
    adminPort: 0,
    drainDelayMs: 0,
    drainTimeoutMs: 10_000,
    loadEveryMs: 50,
    timeLlmEveryMs: 0,
    ...options.router,
  });
  return {
    router,
    slm,
    llms,
    config,
    endpoints,
    configure(change) {
      current = { ...current, ...change };
      config.set(JSON.stringify(current));
    },
    async close() {
      await router.stop();
      await Promise.all([slm, ...llms].map((server) => server.stop()));
      await rm(folder, { recursive: true });
    },
  };
}

/** Waits until something holds; fails after a generous deadline. */
export async function until(holds: () => boolean | Promise<boolean>, what: string, deadlineMs = 20_000): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await sleep(10);
  }
}

export async function readyStage(options: StageOptions): Promise<Stage> {
  const made = await stage(options);
  await until(() => made.router.readiness().ready, 'the router is ready');
  return made;
}
