import type { engines } from './model-server.ts';

/** Pairs whose settings are known: upstream's (config/*.yaml there), and the tiny one of examples/models. */
export const routerPresets = [
  'R1-1.5B+R1-32B',
  'Qwen3-0.6B+Qwen3-8B',
  'Qwen3-0.6B+Qwen3-30B-A3B',
  'Qwen3-0.6B+Qwen3-32B',
  'Qwen3-1.7B+Qwen3-8B',
  'Qwen3-4B+Qwen3-8B',
  'tiny',
] as const;
export type RouterPresetName = (typeof routerPresets)[number];

/** Models of a pipeline, by what they do: upstream's quick, reference, continuation_main and verify. */
export const modelRoles = ['slm', 'llm', 'continuation', 'verifier'] as const;
export type ModelRole = (typeof modelRoles)[number];

/** GPUs of each model's server, upstream's. */
export const defaultGpus: Readonly<Record<ModelRole, number>> = { slm: 1, llm: 2, continuation: 2, verifier: 4 };

interface RouterPreset {
  /** Names of the models; the one that continues is the LLM. */
  readonly models: Readonly<Record<Exclude<ModelRole, 'continuation'>, string>>;
  readonly engine: (typeof engines)[number];
  /** Where an image holds the models, each in a folder of its name; undefined: on a claim. */
  readonly folder?: string;
  readonly verifierPrompt: 'standard' | 'plain';
  /** GPUs that the router is trained on. */
  readonly trainingGpus: number;
}

/** The verifier where none is named. */
export const defaultVerifier = 'Qwen/Qwen2.5-72B-Instruct';

function published(slm: string, llm: string): RouterPreset {
  return { models: { slm, llm, verifier: defaultVerifier }, engine: 'SGLang', verifierPrompt: 'standard', trainingGpus: 1 };
}

export const presetSettings: Readonly<Record<RouterPresetName, RouterPreset>> = {
  'R1-1.5B+R1-32B': published('deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B', 'deepseek-ai/DeepSeek-R1-Distill-Qwen-32B'),
  'Qwen3-0.6B+Qwen3-8B': published('Qwen/Qwen3-0.6B', 'Qwen/Qwen3-8B'),
  'Qwen3-0.6B+Qwen3-30B-A3B': published('Qwen/Qwen3-0.6B', 'Qwen/Qwen3-30B-A3B'),
  'Qwen3-0.6B+Qwen3-32B': published('Qwen/Qwen3-0.6B', 'Qwen/Qwen3-32B'),
  'Qwen3-1.7B+Qwen3-8B': published('Qwen/Qwen3-1.7B', 'Qwen/Qwen3-8B'),
  'Qwen3-4B+Qwen3-8B': published('Qwen/Qwen3-4B', 'Qwen/Qwen3-8B'),
  tiny: {
    models: { slm: 'slm', llm: 'llm', verifier: 'verifier' },
    engine: 'CPU',
    folder: '/opt/r2r/examples/models',
    verifierPrompt: 'plain',
    trainingGpus: 0,
  },
};
