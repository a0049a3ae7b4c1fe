import { randomUUID } from 'node:crypto';
import { Agent } from 'undici';
import type { z } from 'zod';
import { agentOptions } from './agent-options.ts';
import { expectedAnswer, type GenerateAnswer } from './answer.ts';
import { bodyText, generateBody, type GenerateCall } from './call.ts';
import { Decoder } from './decoder.ts';
import { EngineError } from './errors.ts';
import { exchange, messageOf, textOf, transmit, type Exchange, type HttpAnswer } from './exchange.ts';
import { readLoad, type EngineLoad } from './exposition.ts';
import { modelInfoSchema, modelListSchema, serverInfoSchema, type ModelInfo, type ServerInfo } from './info.ts';
import { unpackAnswer } from './packed-answer.ts';
import { readPrefill } from './prefill-answer.ts';
import { prefillBody, type PrefillAnswer, type PrefillCall } from './prefill.ts';

/** How many closing connections one call may meet: several idle ones can be closed at once. */
const maxResets = 2;
/** How often a prefill is asked again whose answer lacks states: what it read is cached then, so that the next has only those asked for. */
const maxShortAnswers = 2;

export interface SglangClientOptions {
  /** `http://host:port`. */
  readonly url: string;
  /** The model's `vocab_size`: no id at or above it is ever sent. */
  readonly vocabSize: number;
  /** @default 10_000 */
  readonly infoTimeoutMs?: number;
  /** Parses large answers; stays open when the client is closed. @default one of its own */
  readonly decoder?: Decoder;
}

/**
 * One model server that speaks SGLang's native API: SGLang itself or our CPU engine. The only way anything of ours talks to a model server.
 * Holds its own connections; call {@link destroy} at the end.
 */
export class SglangClient {
  readonly url: string;
  readonly #vocabSize: number;
  readonly #infoTimeoutMs: number;
  readonly #agent = new Agent(agentOptions);
  readonly #decoder: Decoder;
  readonly #ownsDecoder: boolean;
  #inFlight = 0;

  constructor(options: SglangClientOptions) {
    this.url = options.url.replace(/\/+$/, '');
    this.#vocabSize = options.vocabSize;
    this.#infoTimeoutMs = options.infoTimeoutMs ?? 10_000;
    this.#decoder = options.decoder ?? new Decoder();
    this.#ownsDecoder = !options.decoder;
  }

  /** `/generate` calls the server may still be working on, cancelled ones that have not ended included. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * Continues a sequence greedily. A cancelled or late call is aborted on the server, then read to its end in the background.
   *
   * @throws the signal's reason when cancelled; EngineError otherwise
   */
  async generate(call: GenerateCall, signal?: AbortSignal): Promise<GenerateAnswer> {
    return unlessReset(() => this.#generateOnce(call, signal), signal);
  }

  /**
   * What the model says after each of the last tokens of a sequence. The sequence up to them should have been read by the server before: the
   * answer holds the states of all that was not. Asked again when states are missing.
   *
   * @throws the signal's reason when cancelled; EngineError otherwise
   */
  async prefill(call: PrefillCall, signal?: AbortSignal): Promise<PrefillAnswer> {
    for (let tries = 0; ; tries++) {
      const answer = await unlessReset(() => this.#prefillOnce(call, signal), signal);
      const { rows, stateRows } = answer;
      if (rows) return { ...answer, rows };
      const expected = call.ids.length - call.from;
      if (tries === maxShortAnswers)
        throw new EngineError(
          'malformed',
          this.url,
          `answer to /generate: hidden_states has ${stateRows} rows for ${expected} tokens: --chunked-prefill-size must not be below that`,
        );
    }
  }

  async #generateOnce(call: GenerateCall, signal?: AbortSignal): Promise<GenerateAnswer> {
    signal?.throwIfAborted();
    const body = generateBody(call, randomUUID(), { url: this.url, vocabSize: this.#vocabSize });
    const exchanged = {
      origin: this.url,
      path: '/generate',
      method: 'POST',
      body: bodyText(body, call.idsJson),
      timeoutMs: call.timeoutMs,
      signal,
    } as const;
    const expected = expectedAnswer(body);
    // Answers with hidden states are large: the decoder's thread makes the call.
    if (call.hiddenStates) {
      const abandoned = (): void => void this.abort(body.rid);
      this.#inFlight++;
      const { answer, closed } = exchange((kill) => this.#decoder.carry(exchanged, expected, this.url, kill), exchanged, abandoned);
      void closed.then(() => this.#inFlight--);
      const carried = await answer;
      if ('code' in carried) throw new EngineError(carried.code, this.url, carried.detail);
      if ('answer' in carried) throw refusal(carried.answer, '/generate', this.url);
      const { packed, wireMs = 0, decodeMs, bytes = 0 } = carried;
      return { ...unpackAnswer(packed), cost: { wireMs, decodeMs, bytes } };
    }
    const { bytes, wireMs } = await this.#transmitted(exchanged, body.rid);
    const length = bytes.byteLength;
    const { packed, decodeMs } = await this.#decoder.decode(bytes, expected, this.url);
    return { ...unpackAnswer(packed), cost: { wireMs, decodeMs, bytes: length } };
  }

  async #prefillOnce(call: PrefillCall, signal?: AbortSignal) {
    signal?.throwIfAborted();
    const server = { url: this.url, vocabSize: this.#vocabSize };
    const body = prefillBody(call, randomUUID(), server);
    const text = bodyText(body, call.idsJson);
    const exchanged = { origin: this.url, path: '/generate', method: 'POST', body: text, timeoutMs: call.timeoutMs, signal } as const;
    const { bytes, wireMs } = await this.#transmitted(exchanged, body.rid);
    const startedAt = performance.now();
    const read = readPrefill(bytes, body, server);
    return { ...read, cost: { wireMs, decodeMs: performance.now() - startedAt, bytes: bytes.byteLength } };
  }

  /** The answer to a `/generate` call that is aborted on the server when it is given up. */
  async #transmitted(call: Exchange, rid: string): Promise<HttpAnswer> {
    this.#inFlight++;
    const { answer, closed } = exchange(
      (kill) => transmit(this.#agent, call, kill),
      call,
      () => void this.abort(rid),
    );
    void closed.then(() => this.#inFlight--);
    return accepted(await answer, '/generate', this.url);
  }

  /** Tells the server to stop a request. Never fails: the request may be over, the server gone. */
  async abort(rid: string): Promise<void> {
    const call = {
      origin: this.url,
      path: '/abort_request',
      method: 'POST',
      body: JSON.stringify({ rid }),
      timeoutMs: this.#infoTimeoutMs,
    } as const;
    await exchange((kill) => transmit(this.#agent, call, kill), call).answer.catch(() => undefined);
  }

  /** @throws EngineError */
  async modelInfo(signal?: AbortSignal): Promise<ModelInfo> {
    return this.#getJson('/model_info', modelInfoSchema, signal);
  }

  /** @throws EngineError */
  async serverInfo(signal?: AbortSignal): Promise<ServerInfo> {
    return this.#getJson('/server_info', serverInfoSchema, signal);
  }

  /**
   * Longest sequence, prompt and output together, that can be built by sending it back token by token.
   *
   * @returns undefined when the server does not say
   * @throws EngineError
   */
  async contextLength(signal?: AbortSignal): Promise<number | undefined> {
    const [info, models] = await Promise.all([this.serverInfo(signal), this.#getJson('/v1/models', modelListSchema, signal)]);
    const limits = [info.context_length, info.max_req_input_len, models.data[0]?.max_model_len].filter((limit) => limit != null);
    return limits.length > 0 ? Math.min(...limits) : undefined;
  }

  /** Whether the server takes requests now. Never throws but the signal's reason. */
  async ready(signal?: AbortSignal): Promise<boolean> {
    return this.#isOk('/ready', signal);
  }

  /** Whether the server lives. On SGLang this may take a second: by default it generates a token. */
  async health(signal?: AbortSignal): Promise<boolean> {
    return this.#isOk('/health', signal);
  }

  /** @throws EngineError, also when the server has no metrics page */
  async load(signal?: AbortSignal): Promise<EngineLoad> {
    return readLoad(textOf(await this.#get('/metrics', signal)));
  }

  /** Lets calls in flight end, then closes the connections. */
  async close(): Promise<void> {
    await this.#agent.close();
    if (this.#ownsDecoder) await this.#decoder.close();
  }

  /** Cuts the connections; calls in flight fail. */
  async destroy(): Promise<void> {
    await this.#agent.destroy();
    this.#decoder.drop(this.url);
    if (this.#ownsDecoder) await this.#decoder.close();
  }

  async #get(path: string, signal?: AbortSignal): Promise<HttpAnswer> {
    const call = { origin: this.url, path, method: 'GET', timeoutMs: this.#infoTimeoutMs, signal } as const;
    const { answer } = exchange((kill) => transmit(this.#agent, call, kill), call);
    return accepted(await answer, path, this.url);
  }

  async #getJson<T>(path: string, schema: z.ZodType<T>, signal?: AbortSignal): Promise<T> {
    const value = parseJson(await this.#get(path, signal), path, this.url);
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw new EngineError('malformed', this.url, `answer to ${path}: ${parsed.error.issues[0]?.message ?? 'unexpected'}`, {
      cause: parsed.error,
    });
  }

  async #isOk(path: string, signal?: AbortSignal): Promise<boolean> {
    try {
      await this.#get(path, signal);
      return true;
    } catch (error) {
      if (error instanceof EngineError) return false;
      throw error;
    }
  }
}

function accepted(answer: HttpAnswer, path: string, url: string): HttpAnswer {
  if (answer.status === 200) return answer;
  throw refusal(answer, path, url);
}

function refusal(answer: HttpAnswer, path: string, url: string): EngineError {
  const code =
    answer.status === 503 || answer.status === 429
      ? 'overloaded'
      : answer.status >= 500
        ? 'server_error'
        : answer.status >= 400
          ? 'rejected'
          : 'malformed';
  const { status, retryAfterMs } = answer;
  const said = `${path} answered ${status}: ${textOf(answer).slice(0, 300)}`;
  return new EngineError(code, url, said, retryAfterMs === undefined ? {} : { retryAfterMs });
}

function parseJson(answer: HttpAnswer, path: string, url: string): unknown {
  try {
    return JSON.parse(textOf(answer));
  } catch (cause) {
    throw new EngineError('malformed', url, `answer to ${path} is not JSON: ${messageOf(cause)}`, { cause });
  }
}

/** Calls again after a kept-alive connection that the server closed just as we wrote to it: under a new rid, lest the first did arrive. */
async function unlessReset<T>(call: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  for (let resets = 0; ; resets++) {
    try {
      return await call();
    } catch (error) {
      if (!isReset(error) || signal?.aborted || resets === maxResets) throw error;
    }
  }
}

function isReset(error: unknown): boolean {
  if (!(error instanceof EngineError) || error.code !== 'unreachable' || !(error.cause instanceof Error)) return false;
  const { code } = error.cause as NodeJS.ErrnoException;
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE';
}
