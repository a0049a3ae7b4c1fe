/**
 * Why rows cannot be scored; mirrored in docs/reference/errors.md.
 * - `bundle_refused`: the bundle is damaged, of another format, or of another SLM; the message names file or field
 * - `precision_missing`: the bundle has no graph of this precision
 * - `device_unavailable`: ONNX Runtime cannot use the device that was asked for
 * - `network_unloadable`: ONNX Runtime refuses the graph
 * - `signal_unavailable`: the bundle cannot give a signal that a strategy looks at
 * - `row_invalid`: a row is not of the SLM that the bundle was made for
 * - `network_failed`: the network's thread failed, or has not come back since; the next call may succeed
 * - `scoring_closed`: another bundle has taken over, or the router is ending
 */
export const scoringErrorCodes = [
  'bundle_refused',
  'precision_missing',
  'device_unavailable',
  'network_unloadable',
  'signal_unavailable',
  'row_invalid',
  'network_failed',
  'scoring_closed',
] as const;
export type ScoringErrorCode = (typeof scoringErrorCodes)[number];

export class ScoringError extends Error {
  override readonly name = 'ScoringError';
  readonly code: ScoringErrorCode;

  constructor(code: ScoringErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  /** Whether the same rows may be scored a moment later. */
  get retryable(): boolean {
    return this.code === 'network_failed';
  }
}
