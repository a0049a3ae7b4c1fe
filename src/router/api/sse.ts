import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

/** A stream of server-sent events as OpenAI's API has it. Headers go out with the first event. */
export class EventStream {
  readonly #response: ServerResponse;
  readonly #signal: AbortSignal;

  constructor(response: ServerResponse, signal: AbortSignal) {
    this.#response = response;
    this.#signal = signal;
  }

  /** Sends one event; waits while the client reads slower than we write. @throws AbortError when the client leaves meanwhile */
  async send(event: unknown): Promise<void> {
    await this.#write(`data: ${JSON.stringify(event)}\n\n`);
  }

  async done(): Promise<void> {
    await this.#write('data: [DONE]\n\n');
    this.#response.end();
  }

  async #write(text: string): Promise<void> {
    this.#signal.throwIfAborted();
    if (!this.#response.headersSent) {
      this.#response.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        // Proxies such as nginx would otherwise collect the stream.
        'x-accel-buffering': 'no',
      });
    }
    if (!this.#response.write(text)) await once(this.#response, 'drain', { signal: this.#signal });
  }
}
