import { join } from 'node:path';
import { z } from 'zod';
import { ModelError } from './errors.ts';
import type { ComputeType } from './model-config.ts';
import { readJson } from './model-file.ts';

/** What a router bundle must know of its SLM. Unlike `ModelConfig` this asks nothing of the decoder: SGLang serves more kinds than our engine. */
export interface SlmConfig {
  readonly modelType: string;
  /** The hub's name of the model, where the folder tells it. */
  readonly hubName: string | undefined;
  readonly hiddenSize: number;
  /** Rows of the input embedding. */
  readonly vocabSize: number;
  /** Whether the LM head is the input embedding; undefined: config.json does not say. */
  readonly tiedEmbeddings: boolean | undefined;
  /** What the model's logits are rounded to when it is served in the type it is stored in. */
  readonly logitsType: ComputeType;
}

const configJson = z.looseObject({
  model_type: z.string(),
  _name_or_path: z.string().nullish(),
  hidden_size: z.int().positive(),
  vocab_size: z.int().positive(),
  tie_word_embeddings: z.boolean().optional(),
  dtype: z.string().nullish(),
  torch_dtype: z.string().nullish(),
});

/** `organisation/name`, and nothing that could be a path of the machine the model was saved on. */
const hubName = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;

/** Reads config.json. @throws ModelError naming the file and the field */
export async function loadSlmConfig(folder: string): Promise<SlmConfig> {
  const json = await readJson(folder, 'config.json', configJson);
  const logitsType = json.dtype ?? json.torch_dtype ?? 'float32';
  if (logitsType !== 'bfloat16' && logitsType !== 'float16' && logitsType !== 'float32') {
    const problem = `dtype ${logitsType} is not supported`;
    throw new ModelError('MODEL_UNSUPPORTED', join(folder, 'config.json'), problem, 'use bfloat16, float16 or float32');
  }
  return {
    modelType: json.model_type,
    hubName: json._name_or_path && hubName.test(json._name_or_path) ? json._name_or_path : undefined,
    hiddenSize: json.hidden_size,
    vocabSize: json.vocab_size,
    tiedEmbeddings: json.tie_word_embeddings,
    logitsType,
  };
}
