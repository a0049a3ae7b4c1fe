import type { Tokenizer } from '../model/tokenizer.ts';
import type { EngineClient } from './engine-client.ts';
import type { RequestLimits } from './generate-request.ts';
import type { GenerationService } from './generation.ts';
import type { EngineMetrics } from './metrics.ts';
import type { ResolvedOptions } from './options.ts';

/** What the routes share. */
export interface EngineContext {
  readonly options: ResolvedOptions;
  readonly tokenizer: Tokenizer;
  readonly limits: RequestLimits;
  readonly client: EngineClient;
  readonly generations: GenerationService;
  readonly metrics: EngineMetrics;
  /** Whether answers carry timings. */
  readonly timings: boolean;
  /** Sampling defaults of the OpenAI routes, from generation_config.json. */
  readonly samplingDefaults: Readonly<Record<string, number>>;
  readonly modelFamily: { readonly modelType: string; readonly architectures: readonly string[] };
  readonly startedAt: number;
  /** Whether the server ends as soon as its requests have. */
  readonly draining: () => boolean;
}
