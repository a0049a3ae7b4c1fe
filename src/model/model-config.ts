import { join } from 'node:path';
import { z } from 'zod';
import { ModelError } from './errors.ts';
import { readJson } from './model-file.ts';

/** Arithmetic a checkpoint was made for. Computation is in float32 with results rounded to this type where a GPU would store them. */
export type ComputeType = 'bfloat16' | 'float16' | 'float32';

/** Llama 3's long-context scaling of rotary frequencies (transformers `rope_type: llama3`). */
export interface Llama3Scaling {
  readonly factor: number;
  readonly lowFrequencyFactor: number;
  readonly highFrequencyFactor: number;
  readonly originalMaxPositions: number;
}

/** What config.json says about a decoder of the Qwen2, Qwen3 or Llama family. */
export interface ModelConfig {
  readonly architecture: string;
  readonly modelType: string;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layerCount: number;
  readonly headCount: number;
  readonly keyValueHeadCount: number;
  readonly headSize: number;
  /** Rows of the embedding; may exceed the tokenizer's length (padding). */
  readonly vocabSize: number;
  readonly maxPositions: number;
  readonly normEpsilon: number;
  readonly ropeTheta: number;
  readonly ropeScaling: Llama3Scaling | undefined;
  readonly tiedEmbeddings: boolean;
  /** Whether queries and keys are normalised per head (Qwen3). */
  readonly queryKeyNorm: boolean;
  readonly computeType: ComputeType;
}

const architectures: Readonly<Record<string, { readonly queryKeyNorm: boolean }>> = {
  Qwen2ForCausalLM: { queryKeyNorm: false },
  Qwen3ForCausalLM: { queryKeyNorm: true },
  LlamaForCausalLM: { queryKeyNorm: false },
  MistralForCausalLM: { queryKeyNorm: false },
};

const size = z.int().positive();
const rope = z.looseObject({
  type: z.string().optional(),
  rope_type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  factor: z.number().positive().optional(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  original_max_position_embeddings: size.optional(),
});
const configJson = z.looseObject({
  architectures: z.array(z.string()).min(1),
  model_type: z.string(),
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.optional(),
  head_dim: size.nullish(),
  vocab_size: size,
  max_position_embeddings: size,
  rms_norm_eps: z.number().positive().default(1e-6),
  rope_theta: z.number().positive().optional(),
  rope_scaling: rope.nullish(),
  rope_parameters: rope.nullish(),
  tie_word_embeddings: z.boolean().default(false),
  hidden_act: z.string().default('silu'),
  sliding_window: z.int().nullish(),
  use_sliding_window: z.boolean().optional(),
  layer_types: z.array(z.string()).nullish(),
  quantization_config: z.unknown().optional(),
  dtype: z.string().nullish(),
  torch_dtype: z.string().nullish(),
});

/** Reads config.json. Throws `MODEL_UNSUPPORTED` naming the field for what would otherwise be computed wrongly. */
export async function loadModelConfig(folder: string): Promise<ModelConfig> {
  const path = join(folder, 'config.json');
  const json = await readJson(folder, 'config.json', configJson);
  const refuse = (problem: string, fix: string): never => {
    throw new ModelError('MODEL_UNSUPPORTED', path, problem, fix);
  };

  const architecture = json.architectures[0] ?? '';
  const family = architectures[architecture];
  if (!family)
    return refuse(
      `architecture ${architecture} is not supported`,
      `use one of ${Object.keys(architectures).join(', ')}, or SGLang for this model`,
    );
  if (json.hidden_act !== 'silu') refuse(`hidden_act ${json.hidden_act} is not supported`, 'only silu is');
  if (json.quantization_config !== undefined && json.quantization_config !== null)
    refuse('quantised weights are not supported', 'use the unquantised model');
  const windowed = json.layer_types
    ? json.layer_types.some((type) => type !== 'full_attention')
    : (json.use_sliding_window ?? architecture.startsWith('Mistral'));
  if (windowed && (json.sliding_window ?? undefined) !== undefined)
    refuse('sliding-window attention is not supported', 'use a model with full attention');

  const ropeFields = json.rope_parameters ?? json.rope_scaling ?? {};
  const headSize = json.head_dim ?? json.hidden_size / json.num_attention_heads;
  const keyValueHeadCount = json.num_key_value_heads ?? json.num_attention_heads;
  if (!Number.isInteger(headSize) || headSize % 2 !== 0) refuse(`head_dim ${headSize} is not an even number`, 'correct the file');
  if (json.num_attention_heads % keyValueHeadCount !== 0)
    refuse('num_attention_heads is no multiple of num_key_value_heads', 'correct the file');
  const computeType = json.dtype ?? json.torch_dtype ?? 'float32';
  if (computeType !== 'bfloat16' && computeType !== 'float16' && computeType !== 'float32')
    return refuse(`dtype ${computeType} is not supported`, 'use bfloat16, float16 or float32');

  return {
    architecture,
    modelType: json.model_type,
    hiddenSize: json.hidden_size,
    intermediateSize: json.intermediate_size,
    layerCount: json.num_hidden_layers,
    headCount: json.num_attention_heads,
    keyValueHeadCount,
    headSize,
    vocabSize: json.vocab_size,
    maxPositions: json.max_position_embeddings,
    normEpsilon: json.rms_norm_eps,
    ropeTheta: ropeFields.rope_theta ?? json.rope_theta ?? 10_000,
    ropeScaling: ropeScaling(ropeFields, refuse),
    tiedEmbeddings: json.tie_word_embeddings,
    queryKeyNorm: family.queryKeyNorm,
    computeType,
  };
}

function ropeScaling(fields: z.infer<typeof rope>, refuse: (problem: string, fix: string) => never): Llama3Scaling | undefined {
  const kind = fields.rope_type ?? fields.type ?? 'default';
  if (kind === 'default') return undefined;
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = fields;
  if (kind !== 'llama3' || factor === undefined || low === undefined || high === undefined || original === undefined) {
    return refuse(`rope_scaling of type ${kind} is not supported`, 'use a model without it, or with the llama3 type and all its fields');
  }
  return { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalMaxPositions: original };
}
