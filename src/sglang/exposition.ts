/** What a model server's Prometheus page says about its load. Undefined: the page lacks it. */
export interface EngineLoad {
  readonly runningRequests?: number;
  readonly queuedRequests?: number;
  /** Share of the KV cache in use, 0 to 1. */
  readonly tokenUsage?: number;
}

/** Reads the gauges from Prometheus text; over several ranks requests are added up and the fullest cache counts. */
export function readLoad(text: string): EngineLoad {
  const samples = (name: string): number[] =>
    [...text.matchAll(new RegExp(`^sglang:${name}(?:\\{[^}]*\\})? (\\S+)`, 'gm'))]
      .map(([, value]) => Number(value))
      .filter((value) => Number.isFinite(value));
  const running = samples('num_running_reqs');
  const queued = samples('num_queue_reqs');
  const usage = samples('token_usage');
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return {
    ...(running.length > 0 && { runningRequests: sum(running) }),
    ...(queued.length > 0 && { queuedRequests: sum(queued) }),
    ...(usage.length > 0 && { tokenUsage: Math.max(...usage) }),
  };
}
