import { EngineError, type EngineLoad, type GenerateAnswer, type GenerateCall, type ServerInfo } from '../../src/sglang/index.ts';
import type { LlmEngine } from '../../src/router/llm-replica.ts';
import { continuation, mix, type ScriptedModel } from './scripted-models.ts';

export interface ScriptedEngineOptions {
  readonly model: ScriptedModel;
  readonly url?: string;
  readonly seed?: number;
  /** Share of calls that fail although the server is there. */
  readonly failures?: number;
  /** Positions (prefix lengths) at which every call fails. */
  readonly outage?: (prefixLength: number) => boolean;
}

/** A model server in this process that answers late, fails and falls silent as its seed says. */
export class ScriptedEngine implements LlmEngine {
  readonly url: string;
  readonly prompts: number[] = [];
  inFlight = 0;
  #calls = 0;
  readonly #options: ScriptedEngineOptions;

  constructor(options: ScriptedEngineOptions) {
    this.#options = options;
    this.url = options.url ?? 'scripted://engine';
  }

  async generate(call: GenerateCall, signal?: AbortSignal): Promise<GenerateAnswer> {
    const { model, seed = 1, failures = 0, outage = () => false } = this.#options;
    const draw = mix(seed, [this.#calls++]);
    this.inFlight++;
    try {
      for (let turns = draw % 4; turns > 0; turns--) await new Promise(setImmediate);
      signal?.throwIfAborted();
      if (outage(call.ids.length) || (draw >>> 8) % 1000 < failures * 1000) {
        const codes = ['unreachable', 'timeout', 'malformed', 'server_error', 'aborted', 'overloaded'] as const;
        throw new EngineError(codes[(draw >>> 4) % codes.length]!, this.url, 'scripted failure');
      }
      // Now and then the answer is shorter than asked, as when a server's own limits are reached.
      const length = (draw >>> 12) % 8 === 0 ? Math.ceil(call.maxNewTokens / 2) : call.maxNewTokens;
      const tokens = continuation(model, call.ids, length, call.stopTokenIds ?? []);
      return { tokens, finish: 'length', cachedTokens: 0 };
    } finally {
      this.inFlight--;
    }
  }

  async ready(): Promise<boolean> {
    await new Promise(setImmediate);
    return true;
  }

  contextLength(): Promise<number | undefined> {
    return Promise.resolve(2048);
  }

  serverInfo(): Promise<ServerInfo> {
    return Promise.resolve({ version: '0.5.23', preferred_sampling_params: null });
  }

  load(): Promise<EngineLoad> {
    return Promise.resolve({});
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  destroy(): Promise<void> {
    return Promise.resolve();
  }
}
