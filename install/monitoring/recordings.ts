/** Series that Prometheus computes once a minute: what alerts compare over a day. */

export const recorded = {
  /** Share of the tokens that the LLM supplied, of the last five minutes; none while no token is emitted. */
  llmShare: 'namespace_deployment:r2r_llm_share:rate5m',
  /** Share of the tokens that the SLM supplied in the LLM's place. */
  fallbackShare: 'namespace_deployment:r2r_fallback_share:rate5m',
  /** Tokens a second. */
  tokens: 'namespace_deployment:r2r_tokens:rate5m',
} as const;

const by = 'by (namespace, r2r_deployment)';
const share = (source: string): string => `sum ${by} (rate(r2r_tokens_total{source="${source}"}[5m])) / (${recorded.tokens} > 0)`;

export const recordings: readonly { readonly record: string; readonly expr: string }[] = [
  { record: recorded.tokens, expr: `sum ${by} (rate(r2r_tokens_total[5m]))` },
  { record: recorded.llmShare, expr: share('llm') },
  { record: recorded.fallbackShare, expr: share('fallback') },
];
