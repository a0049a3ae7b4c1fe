import type { EngineContext } from './engine-context.ts';
import sglang from './sglang-defaults.json' with { type: 'json' };

/** The version whose API is spoken. */
export const sglangVersion = '0.5.23';

/** What `/model_info` says of a model that makes no embeddings. */
export const embeddingPlan: unknown = sglang.embedding;

function withoutKeys(fields: Readonly<Record<string, unknown>>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => !keys.includes(key)));
}

/**
 * `/server_info`: SGLang's arguments and the state of the scheduler. The arguments that mean something here have their true values; all
 * others are those of SGLang 0.5.23 started on a CPU (sglang-defaults.json), so that a client finds every field it knows.
 */
export function serverInfo({ options, client, draining }: EngineContext): Record<string, unknown> {
  const { state, facts } = client;
  const noGraphs = { prefill: 0, decode: 0, target_verify: 0, draft_prefill: 0, draft_decode: 0, draft_extend: 0 };
  const startupTime = { load_weight: facts.loadSeconds, kv_cache_allocation: 0, scheduler_e2e: facts.loadSeconds, cuda_graph: noGraphs };
  const serverArguments = {
    ...sglang.arguments,
    model_path: options.modelPath,
    tokenizer_path: options.modelPath,
    served_model_name: options.servedModelName,
    host: options.host,
    port: options.port,
    context_length: options.contextLength,
    max_total_tokens: options.maxTotalTokens,
    max_running_requests: options.maxRunningRequests,
    max_prefill_tokens: options.maxPrefillTokens,
    chunked_prefill_size: options.chunkedPrefillSize,
    enable_metrics: options.metrics,
    enable_return_hidden_states: options.returnHiddenStates,
    return_hidden_states_mode: options.returnHiddenStates ? 'full' : 'off',
  };
  return {
    ...serverArguments,
    launch_command: `--model-path ${options.modelPath} --host ${options.host} --port ${options.port}`,
    status: draining() ? 'draining' : 'ready',
    max_total_num_tokens: facts.poolTokens,
    max_req_input_len: Math.min(options.contextLength, facts.poolTokens) - 6,
    startup_time: { ...startupTime, tokenizer_e2e: facts.loadSeconds },
    internal_states: [
      {
        ...withoutKeys(serverArguments, sglang.notInInternalState),
        disable_chunked_prefix_cache: true,
        pp_max_micro_batch_size: options.maxRunningRequests,
        disaggregation_decode_retraction_backup: 'cpu_tensor',
        world_size: 1,
        startup_time: startupTime,
        effective_max_running_requests_per_dp: options.maxRunningRequests,
        last_gen_throughput: state.generationRate,
        memory_usage: {
          weight: facts.weightBytes / 2 ** 30,
          kvcache: facts.poolBytes / 2 ** 30,
          startup_available: 0,
          token_capacity: facts.poolTokens,
          token_capacity_swa: null,
          graph: noGraphs,
        },
        decode_cuda_graph_bs: [],
        decode_cuda_graph_memory_gb: 0,
      },
    ],
    version: sglangVersion,
    frontend: 'r2r',
  };
}
