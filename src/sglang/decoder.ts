import { Worker } from 'node:worker_threads';
import type { ExpectedAnswer } from './answer.ts';
import type { DecodedReply, DecodeReply, DecodeRequest, RefusedReply, StatusReply, ThreadRequest } from './decode-messages.ts';
import { decodeAnswer } from './decoding.ts';
import { EngineError } from './errors.ts';
import { messageOf, type Message } from './exchange.ts';
import type { PackedAnswer } from './packed-answer.ts';

export interface DecoderOptions {
  /** @default 1 */
  readonly threads?: number;
  /** Answers shorter than this are parsed where they are: the way to a thread and back costs as much. @default 8_192 */
  readonly inlineBytes?: number;
}

export interface Decoded {
  readonly packed: PackedAnswer;
  readonly decodeMs: number;
}

/** What became of a call that a thread made. */
export type Carried = DecodedReply | RefusedReply | StatusReply;

/**
 * Parses the answers of model servers, large ones in threads of its own, so that the event loop never stands still for them. A thread starts
 * with the first large answer; idle ones do not keep the process alive. Can be shared by any number of clients; call {@link close} at the end.
 */
export class Decoder {
  readonly #inlineBytes: number;
  readonly #threads: (DecodeThread | undefined)[];
  #closed = false;

  constructor({ threads = 1, inlineBytes = 8_192 }: DecoderOptions = {}) {
    this.#inlineBytes = inlineBytes;
    this.#threads = Array.from({ length: threads }, () => undefined);
  }

  /** Starts the threads ahead of the first large answer, which would otherwise wait some 50 ms for one. */
  start(): void {
    if (!this.#closed) for (const index of this.#threads.keys()) this.#threads[index] ??= new DecodeThread();
  }

  /**
   * @param bytes is handed over when it is large, and unusable afterwards
   * @throws EngineError `malformed`, `aborted`, or `decoder_failed` when the thread died of this answer or of one beside it
   */
  async decode(bytes: Uint8Array<ArrayBuffer>, expected: ExpectedAnswer, url: string): Promise<Decoded> {
    if (bytes.byteLength < this.#inlineBytes) {
      const startedAt = performance.now();
      const packed = decodeAnswer(bytes, expected, url);
      return { packed, decodeMs: performance.now() - startedAt };
    }
    if (this.#closed) throw new EngineError('decoder_failed', url, 'the decoder is closed');
    return this.#leastLoaded().decode(bytes, expected, url);
  }

  /**
   * Makes a call in a thread, which parses its answer: nothing but numbers comes back to the event loop.
   *
   * @param kill cuts the connection
   * @throws the wire's error, or EngineError `decoder_failed`
   */
  async carry(message: Message, expected: ExpectedAnswer, url: string, kill: AbortSignal): Promise<Carried> {
    if (this.#closed) throw new EngineError('decoder_failed', url, 'the decoder is closed');
    return this.#leastLoaded().carry(message, expected, url, kill);
  }

  /** Cuts the threads' connections to a server. */
  drop(origin: string): void {
    for (const thread of this.#threads) thread?.drop(origin);
  }

  /** Ends the threads; calls in them fail with `decoder_failed`. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#threads.flatMap((thread) => (thread ? [thread.close()] : [])));
  }

  #leastLoaded(): DecodeThread {
    let best = 0;
    for (const [index, thread] of this.#threads.entries()) if ((thread?.load ?? 0) < (this.#threads[best]?.load ?? 0)) best = index;
    const thread = this.#threads[best];
    if (thread && !thread.dead) return thread;
    return (this.#threads[best] = new DecodeThread());
  }
}

interface Waiting {
  readonly url: string;
  readonly settle: (reply: DecodeReply) => void;
  readonly reject: (error: Error) => void;
}

class DecodeThread {
  readonly #worker = new Worker(new URL(import.meta.url.endsWith('.ts') ? './decode-worker.ts' : './decode-worker.js', import.meta.url), {
    name: 'decoder',
    // What it reads is garbage at once, 64 KB and less a packet: a small young generation keeps the thread small, and costs no time that shows.
    resourceLimits: { maxYoungGenerationSizeMb: 6 },
  });
  readonly #waiting = new Map<number, Waiting>();
  #calls = 0;
  #dead = false;

  constructor() {
    this.#worker.unref();
    this.#worker.on('message', (reply: DecodeReply) => this.#settle(reply));
    this.#worker.on('error', (error) => this.#die(`the decoding thread failed: ${messageOf(error)}`, error));
    this.#worker.on('exit', (code) => this.#die(`the decoding thread ended with code ${code}`));
  }

  get dead(): boolean {
    return this.#dead;
  }

  get load(): number {
    return this.#waiting.size;
  }

  decode(bytes: Uint8Array<ArrayBuffer>, expected: ExpectedAnswer, url: string): Promise<Decoded> {
    const { promise, resolve, reject } = Promise.withResolvers<Decoded>();
    const settle = (reply: DecodeReply): void => {
      if ('packed' in reply) resolve(reply);
      else if ('code' in reply) reject(new EngineError(reply.code, url, reply.detail));
    };
    const call = this.#expect({ url, settle, reject });
    const request: DecodeRequest = { call, bytes, expected, url };
    this.#post(request, [bytes.buffer]);
    return promise;
  }

  carry(message: Message, expected: ExpectedAnswer, url: string, kill: AbortSignal): Promise<Carried> {
    const { promise, resolve, reject } = Promise.withResolvers<Carried>();
    const settle = (reply: DecodeReply): void => {
      if ('wire' in reply) reject(Object.assign(new Error(reply.wire.message), { code: reply.wire.code }));
      else resolve(reply);
    };
    const call = this.#expect({ url, settle, reject });
    kill.addEventListener('abort', () => this.#post({ kill: call }), { once: true });
    const { origin, path, method, body } = message;
    this.#post({ call, message: { origin, path, method, ...(body !== undefined && { body }) }, expected, url });
    return promise;
  }

  drop(origin: string): void {
    this.#post({ drop: origin });
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #expect(waiting: Waiting): number {
    const call = ++this.#calls;
    this.#waiting.set(call, waiting);
    this.#worker.ref();
    return call;
  }

  #post(request: ThreadRequest, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(request, transfer);
  }

  #settle(reply: DecodeReply): void {
    const waiting = this.#waiting.get(reply.call);
    this.#waiting.delete(reply.call);
    if (this.#waiting.size === 0) this.#worker.unref();
    waiting?.settle(reply);
  }

  #die(message: string, cause?: unknown): void {
    this.#dead = true;
    for (const { url, reject } of this.#waiting.values()) reject(new EngineError('decoder_failed', url, message, { cause }));
    this.#waiting.clear();
  }
}
