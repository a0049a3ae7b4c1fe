/** Why a call to a model server failed; mirrored in docs/reference/errors.md. */
export type EngineErrorCode =
  | 'unreachable'
  | 'timeout'
  | 'overloaded'
  | 'server_error'
  | 'rejected'
  | 'malformed'
  | 'aborted'
  | 'decoder_failed'
  | 'invalid_call'
  | 'invalid_token';

/** Failures that another try, or another replica, may not repeat. The rest would be answered the same way again. */
const retryableCodes: ReadonlySet<EngineErrorCode> = new Set([
  'unreachable',
  'timeout',
  'overloaded',
  'server_error',
  'malformed',
  'aborted',
  'decoder_failed',
]);

/** A call to a model server that gave no usable answer. `url` names the server, `code` is stable, `cause` is what the wire said. */
export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: EngineErrorCode;
  readonly url: string;
  /** How long the server asks not to be called again; undefined when it did not say. */
  readonly retryAfterMs: number | undefined;

  constructor(code: EngineErrorCode, url: string, message: string, options: ErrorOptions & { readonly retryAfterMs?: number } = {}) {
    super(`${url}: ${message}`, options);
    this.code = code;
    this.url = url;
    this.retryAfterMs = options.retryAfterMs;
  }

  get retryable(): boolean {
    return retryableCodes.has(this.code);
  }
}
