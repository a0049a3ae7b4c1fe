import { Worker } from 'node:worker_threads';
import type { ExpectedAnswer } from './answer.ts';
import type { DecodedReply, DecodeReply, DecodeRequest } from './decode-messages.ts';
import { decodeAnswer } from './decoding.ts';
import { EngineError } from './errors.ts';
import { messageOf } from './exchange.ts';
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
  readonly resolve: (decoded: Decoded) => void;
  readonly reject: (error: EngineError) => void;
}

class DecodeThread {
  readonly #worker = new Worker(new URL(import.meta.url.endsWith('.ts') ? './decode-worker.ts' : './decode-worker.js', import.meta.url), {
    name: 'decoder',
    // What it parses is garbage at once: a small young generation keeps the thread small.
    resourceLimits: { maxYoungGenerationSizeMb: 16 },
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
    const call = ++this.#calls;
    this.#waiting.set(call, { url, resolve, reject });
    this.#worker.ref();
    const request: DecodeRequest = { call, bytes, expected, url };
    this.#worker.postMessage(request, [bytes.buffer]);
    return promise;
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(reply: DecodeReply): void {
    const waiting = this.#waiting.get(reply.call);
    this.#waiting.delete(reply.call);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (isDecoded(reply)) waiting?.resolve(reply);
    else waiting?.reject(new EngineError(reply.code, waiting.url, reply.detail));
  }

  #die(message: string, cause?: unknown): void {
    this.#dead = true;
    for (const { url, reject } of this.#waiting.values()) reject(new EngineError('decoder_failed', url, message, { cause }));
    this.#waiting.clear();
  }
}

function isDecoded(reply: DecodeReply): reply is DecodedReply {
  return 'packed' in reply;
}
