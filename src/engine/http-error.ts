/** A request that gets an error answer. The shapes are SGLang's, which has four of them. */
export class HttpError extends Error {
  readonly code = 'ENGINE_REQUEST_REFUSED';
  readonly status: number;
  readonly body: unknown;

  private constructor(status: number, message: string, body: unknown) {
    super(message);
    this.name = 'HttpError';
    this.status = status;
    this.body = body;
  }

  /** A request whose values are refused: `{"error": {"message"}}`. */
  static refused(message: string, status = 400): HttpError {
    return new HttpError(status, message, { error: { message } });
  }

  /** A body that breaks the schema of `/generate`: `{"error": "text"}`. */
  static contract(message: string): HttpError {
    return new HttpError(400, message, { error: message });
  }

  /** A body that cannot be read at all: OpenAI-like, with the status text as type. */
  static invalidBody(message: string): HttpError {
    return new HttpError(400, message, { object: 'error', message, type: 'Bad Request', param: null, code: 400 });
  }

  /** A refused request of an OpenAI route. */
  static openai(message: string, status = 400, type = 'BadRequestError'): HttpError {
    return new HttpError(status, message, { object: 'error', message, type, param: null, code: status });
  }

  /** What the web framework itself says: `{"detail"}`. */
  static framework(status: number, detail: string): HttpError {
    return new HttpError(status, detail, { detail });
  }

  /** A fault of this engine. What went wrong is in its log, not in the answer. */
  static internal(): HttpError {
    return HttpError.openai('Internal server error', 500, 'InternalServerError');
  }

  static withBody(status: number, message: string, body: unknown): HttpError {
    return new HttpError(status, message, body);
  }
}
