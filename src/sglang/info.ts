import { z } from 'zod';

/** `GET /model_info`: the fields we use. */
export const modelInfoSchema = z.object({
  model_path: z.string(),
  served_model_name: z.string().optional(),
});
export type ModelInfo = z.infer<typeof modelInfoSchema>;

/** `GET /server_info`: the fields we use of some 400. Never log the rest: it can hold an API key. */
export const serverInfoSchema = z.object({
  /** Of SGLang. */
  version: z.string().nullish().catch(undefined),
  context_length: z.number().int().positive().nullish(),
  /** Longest prompt the scheduler takes, plus one: six below the context, or what fits the KV cache. */
  max_req_input_len: z.number().int().positive().nullish(),
  enable_return_hidden_states: z.boolean().nullish().catch(undefined),
  /** `off`, `last` or `full`; the flag above is the older word for `full`. */
  return_hidden_states_mode: z.string().nullish().catch(undefined),
  disable_radix_cache: z.boolean().nullish().catch(undefined),
  page_size: z.number().nullish().catch(undefined),
  dp_size: z.number().nullish().catch(undefined),
  is_embedding: z.boolean().nullish().catch(undefined),
  /** `null` (the word): none. */
  disaggregation_mode: z.string().nullish().catch(undefined),
  /** JSON text or object that is merged into every request's sampling parameters. */
  preferred_sampling_params: z.unknown().optional(),
});
export type ServerInfo = z.infer<typeof serverInfoSchema>;

/** `GET /v1/models`: the one place where the resolved context length always is. */
export const modelListSchema = z.object({
  data: z.array(z.object({ id: z.string(), max_model_len: z.number().int().positive().nullish() })),
});
