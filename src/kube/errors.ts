/** Every error this room throws, with codes that never change meaning. */

export interface StatusCause {
  readonly reason?: string;
  readonly message?: string;
  /** Path of the refused or conflicting field, for example `.spec.replicas`. */
  readonly field?: string;
}

/** The server's answer to a failed request (a `Status` object), as far as we use it. */
export interface StatusBody {
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: { readonly causes?: readonly StatusCause[]; readonly retryAfterSeconds?: number };
}

export type KubeErrorCode =
  'KUBE_API' | 'KUBE_CONFIG' | 'KUBE_CONNECTION' | 'KUBE_DEADLINE' | 'KUBE_LEADERSHIP_LOST' | 'KUBE_RESPONSE' | 'KUBE_TERMINAL';

export class KubeError extends Error {
  readonly code: KubeErrorCode;
  constructor(code: KubeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.name = new.target.name;
  }
}

/** The API server refused a request. `status` is the HTTP status, `reason` the server's CamelCase word, `causes` name the fields. */
export class ApiError extends KubeError {
  readonly status: number;
  readonly reason: string;
  readonly causes: readonly StatusCause[];
  /** How long the server asked us to wait, if it did. */
  readonly retryAfterMs: number | undefined;

  constructor(request: string, status: number, body: StatusBody, retryAfterMs?: number) {
    super('KUBE_API', `${request}: ${body.message ?? 'no message'} (${status}${body.reason ? ` ${body.reason}` : ''})`);
    this.status = status;
    this.reason = body.reason ?? '';
    this.causes = body.details?.causes ?? [];
    this.retryAfterMs = retryAfterMs;
  }
}

/** The connection failed, or broke before the answer was whole. `cause` is the socket's error. */
export class ConnectionError extends KubeError {
  constructor(request: string, cause: unknown) {
    super('KUBE_CONNECTION', `${request}: ${messageOf(cause)}`, { cause });
  }
}

/** No whole answer within the deadline of the call. */
export class DeadlineError extends KubeError {
  readonly deadlineMs: number;
  constructor(what: string, deadlineMs: number) {
    super('KUBE_DEADLINE', `${what}: no answer within ${deadlineMs} ms`);
    this.deadlineMs = deadlineMs;
  }
}

/** The answer is not what the protocol allows: no JSON, a half line, a list without resourceVersion. */
export class ResponseError extends KubeError {
  constructor(message: string, options?: ErrorOptions) {
    super('KUBE_RESPONSE', message, options);
  }
}

/** Kubeconfig or options that cannot work; the message names the field. */
export class ConfigError extends KubeError {
  constructor(message: string, options?: ErrorOptions) {
    super('KUBE_CONFIG', message, options);
  }
}

/** Another process holds the lease, or it could not be renewed in time: whoever led must stop at once. */
export class LeadershipLostError extends KubeError {
  constructor(lease: string, options?: ErrorOptions) {
    super('KUBE_LEADERSHIP_LOST', `leadership of lease ${lease} is lost`, options);
  }
}

/** Thrown by a reconcile when retrying cannot help: no back-off, the next event of the object starts it again. */
export class TerminalError extends KubeError {
  constructor(message: string, options?: ErrorOptions) {
    super('KUBE_TERMINAL', message, options);
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}

/** The name is taken (create), the object changed meanwhile (replace), or another manager owns a field (apply without force). */
export function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409;
}

/** The resourceVersion to watch or page from is too old: list again. */
export function isGone(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 410 || error.reason === 'Expired' || error.reason === 'Gone');
}

export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // undici's connect errors and AggregateErrors may have an empty message with a telling code
  return error.message || ('code' in error ? String(error.code) : error.name);
}
