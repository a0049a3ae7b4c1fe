import { ApiError, messageOf } from '../../kube/index.ts';

/** What could not be read, and why. A command shows the rest: whoever may read a resource need not be allowed to read its pods. */
export class Gaps {
  readonly #signal: AbortSignal;
  readonly #notes = new Set<string>();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  get notes(): readonly string[] {
    return [...this.#notes];
  }

  add(note: string): void {
    this.#notes.add(note);
  }

  /** @param what - in the plural, as in "pods cannot be read" */
  async tryRead<T>(what: string, read: Promise<T>): Promise<T | undefined> {
    try {
      return await read;
    } catch (error) {
      this.#signal.throwIfAborted();
      this.add(`${what} cannot be read: ${reasonOf(error)}`);
      return undefined;
    }
  }
}

/** The API server's own words, without the request in front of them. */
export function reasonOf(error: unknown): string {
  const message = messageOf(error);
  if (!(error instanceof ApiError)) return message;
  const forbidden = /(User ".*?" cannot .*?) \(403/.exec(message)?.[1];
  return forbidden ?? message.replace(/^[A-Z]+ \S+: /, '');
}
