import { loadModelConfig, type ComputeType } from '../model/model-config.ts';
import type { Emulation } from './emulation.ts';
import { bytesPerToken } from './model-runner.ts';

/** What the flags of `r2r engine` say; everything but the model has a default. */
export interface EngineOptions {
  /** A Hugging Face model folder. */
  readonly modelPath: string;
  /** Name under which the model is served. Default: the path. */
  readonly servedModelName?: string;
  /** Default: 127.0.0.1. */
  readonly host?: string;
  /** 0: any free port. Default: 30000. */
  readonly port?: number;
  /** Tokens of prompt and answer together. Default: what the model allows. */
  readonly contextLength?: number;
  /** Whether requests may ask for hidden states. */
  readonly returnHiddenStates?: boolean;
  /** Tokens of the key-value pool. Default: 32768 or the context, at most 1 GiB of them. */
  readonly maxTotalTokens?: number;
  /** Requests computed at a time; more wait. Default: 64. */
  readonly maxRunningRequests?: number;
  /** Default: 4096. */
  readonly chunkedPrefillSize?: number;
  /** Default: 16384. */
  readonly maxPrefillTokens?: number;
  /** Whether `/metrics` is served, and timings are in the answers. */
  readonly metrics?: boolean;
  /** Whether `/health` computes a token, as SGLang's does by default. */
  readonly healthGeneration?: boolean;
  /** Threads of one model run. Default: 1. */
  readonly threads?: number;
  /** Arithmetic to compute in. Default: what config.json says. */
  readonly dtype?: ComputeType;
  readonly emulation?: Emulation;
}

/** Options with every default filled in for the model at hand. */
export type ResolvedOptions = Readonly<Required<Omit<EngineOptions, 'emulation'>>> & { readonly emulation: Emulation | undefined };

/** What the worker thread gets. */
export interface WorkerOptions {
  readonly modelPath: string;
  readonly poolTokens: number;
  readonly maxRunning: number;
  readonly maxPrefillTokens: number;
  readonly chunkedPrefillSize: number;
  readonly threads: number;
  readonly dtype: ComputeType;
  readonly emulation: Emulation | undefined;
}

const defaultPoolTokens = 32_768;
const defaultPoolBytes = 2 ** 30;

/** Fills in the defaults. Throws `ModelError` when the model cannot be used. */
export async function resolveOptions(options: EngineOptions): Promise<ResolvedOptions> {
  const config = await loadModelConfig(options.modelPath);
  const contextLength = options.contextLength ?? config.maxPositions;
  const affordable = Math.floor(defaultPoolBytes / bytesPerToken(config));
  return {
    modelPath: options.modelPath,
    servedModelName: options.servedModelName ?? options.modelPath,
    host: options.host ?? '127.0.0.1',
    port: options.port ?? 30_000,
    contextLength,
    returnHiddenStates: options.returnHiddenStates ?? false,
    maxTotalTokens: options.maxTotalTokens ?? Math.min(Math.max(defaultPoolTokens, contextLength), affordable),
    maxRunningRequests: options.maxRunningRequests ?? 64,
    chunkedPrefillSize: options.chunkedPrefillSize ?? 4096,
    maxPrefillTokens: options.maxPrefillTokens ?? 16_384,
    metrics: options.metrics ?? false,
    healthGeneration: options.healthGeneration ?? true,
    threads: options.threads ?? 1,
    dtype: options.dtype ?? config.computeType,
    emulation: options.emulation,
  };
}
