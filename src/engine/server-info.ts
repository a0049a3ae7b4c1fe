import type { EngineContext } from './engine-context.ts';

/** The version whose API is spoken. */
export const sglangVersion = '0.5.23';

/** `/server_info`: the arguments that have a meaning here, under SGLang's names, and the state of the scheduler. */
export function serverInfo({ options, client, draining }: EngineContext): Record<string, unknown> {
  const { state, facts } = client;
  const serverArguments = {
    model_path: options.modelPath,
    tokenizer_path: options.modelPath,
    served_model_name: options.servedModelName,
    host: options.host,
    port: options.port,
    device: 'cpu',
    context_length: options.contextLength,
    max_total_tokens: options.maxTotalTokens,
    max_running_requests: options.maxRunningRequests,
    max_prefill_tokens: options.maxPrefillTokens,
    chunked_prefill_size: options.chunkedPrefillSize,
    page_size: 1,
    tp_size: 1,
    dp_size: 1,
    schedule_policy: 'fcfs',
    radix_eviction_policy: 'lru',
    disable_radix_cache: false,
    enable_metrics: options.metrics,
    enable_return_hidden_states: options.returnHiddenStates,
    return_hidden_states_mode: options.returnHiddenStates ? 'full' : 'off',
    weight_version: 'default',
    skip_tokenizer_init: false,
    incremental_streaming_output: false,
    stream_interval: 1,
  };
  return {
    ...serverArguments,
    status: draining() ? 'draining' : 'ready',
    max_total_num_tokens: facts.poolTokens,
    max_req_input_len: Math.min(options.contextLength, facts.poolTokens) - 6,
    internal_states: [
      {
        ...serverArguments,
        last_gen_throughput: state.generationRate,
        effective_max_running_requests_per_dp: options.maxRunningRequests,
        memory_usage: { weight: facts.weightBytes / 2 ** 30, kvcache: facts.poolBytes / 2 ** 30, token_capacity: facts.poolTokens },
      },
    ],
    version: sglangVersion,
    frontend: 'r2r-engine',
  };
}
