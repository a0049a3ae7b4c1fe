/** Stable codes of what the HTTP API answers when it cannot answer, with their HTTP status; mirrored in docs/reference/errors.md. */
export const apiErrorStatuses = {
  invalid_json: 400,
  invalid_value: 400,
  unsupported_parameter: 400,
  context_length_exceeded: 400,
  invalid_http: 400,
  invalid_api_key: 401,
  model_not_found: 404,
  not_found: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  request_too_large: 413,
  too_many_requests: 429,
  headers_too_large: 431,
  not_ready: 503,
  slm_unavailable: 503,
  llm_unavailable: 503,
  router_network_unavailable: 503,
  engine_error: 502,
  internal_error: 500,
} as const;

export type ApiErrorCode = keyof typeof apiErrorStatuses;

/** The body of every error answer, as OpenAI's API has it. */
export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: ApiErrorCode;
    /** The header `x-request-id`: under this name the log tells more. */
    readonly request_id?: string;
  };
}

export interface ApiErrorOptions extends ErrorOptions {
  readonly param?: string;
  /** Whole seconds after which trying again may help. */
  readonly retryAfterSeconds?: number;
}

/** A request that gets an error instead of an answer. `param` names the request's field. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ApiErrorCode;
  readonly param: string | null;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ApiErrorCode, message: string, options: ApiErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.param = options.param ?? null;
    this.retryAfterSeconds = options.retryAfterSeconds ?? (this.status === 503 ? 5 : undefined);
  }

  get status(): number {
    return apiErrorStatuses[this.code];
  }

  toBody(requestId?: string): ErrorBody {
    const type = this.status >= 500 ? 'server_error' : this.status === 429 ? 'rate_limit_error' : 'invalid_request_error';
    return {
      error: { message: this.message, type, param: this.param, code: this.code, ...(requestId !== undefined && { request_id: requestId }) },
    };
  }
}
