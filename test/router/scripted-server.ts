import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GeneratedToken } from '../../src/sglang/index.ts';

/** The body of a `/generate` call as it arrives. */
export interface ReceivedCall {
  readonly rid: string;
  readonly input_ids: readonly number[];
  readonly sampling_params: Readonly<Record<string, unknown>> & { readonly max_new_tokens: number; readonly stop_token_ids?: number[] };
  readonly top_logprobs_num?: number;
  readonly return_hidden_states?: boolean;
}

export interface ScriptedServerOptions {
  readonly next: (prefix: readonly number[]) => GeneratedToken;
  readonly endIds?: readonly number[];
  readonly vocabSize: number;
  readonly contextLength?: number;
  /** Milliseconds a token takes. */
  readonly stepMs?: number;
  /** @default true */
  readonly tellsContext?: boolean;
  /** Tokens of a prompt that one pass reads, where a prompt of more passes brings the states of the first instead of the last. @default all */
  readonly passTokens?: number;
  /** Idle connections are closed after so many milliseconds, without the header that announces it: uvicorn sends none. @default 5_000, announced */
  readonly idleMs?: number;
}

/** What a test may change while the server runs. */
export interface Behaviour {
  ready: boolean;
  /** Answers `/server_info`. */
  tellsContext: boolean;
  /** Changes what `/server_info` says. */
  info: Readonly<Record<string, unknown>>;
  /** Changes the answer to a `/generate` call. */
  damage: ((answer: Answer, call: ReceivedCall) => unknown) | undefined;
  /** Takes over the answer to a `/generate` call when it returns true. */
  intercept: (call: ReceivedCall, response: ServerResponse, request: IncomingMessage) => boolean;
}

/** The answer to `/generate`, open for damage. */
export interface Answer {
  text: string;
  output_ids: unknown[];
  meta_info: Record<string, unknown> & { output_top_logprobs?: unknown[][]; hidden_states?: unknown[] };
}

const samplingKeys = new Set(['max_new_tokens', 'temperature', 'stop_token_ids']);

/** A server that speaks SGLang's native API as the recordings have it, and dies of what a real one dies of. */
export class ScriptedServer {
  readonly behaviour: Behaviour;
  readonly calls: ReceivedCall[] = [];
  readonly aborted = new Set<string>();
  /** Every path that was asked for. */
  readonly paths: string[] = [];
  /** Calls being worked on. */
  running = 0;
  /** Calls whose connection was closed while they were worked on: they run on, and an abort that comes later goes unheard. */
  zombies = 0;
  died: string | undefined;
  readonly #options: ScriptedServerOptions;
  readonly #server: Server;
  readonly #rids = new Set<string>();
  readonly #cached = new Set<string>();
  #url = '';

  constructor(options: ScriptedServerOptions) {
    this.#options = options;
    this.behaviour = { ready: true, tellsContext: options.tellsContext ?? true, info: {}, damage: undefined, intercept: () => false };
    this.#server = createServer((request, response) => void this.#handle(request, response));
    // As uvicorn does.
    this.#server.keepAliveTimeout = options.idleMs === undefined ? 5_000 : 0;
  }

  get url(): string {
    return this.#url;
  }

  async start(port = 0): Promise<this> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    if (typeof address !== 'object' || !address) throw new Error('no address');
    this.#url = `http://127.0.0.1:${address.port}`;
    return this;
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    this.paths.push(request.url ?? '');
    if (this.#options.idleMs !== undefined) this.#closeWhenIdle(response, this.#options.idleMs);
    const json = (value: unknown, status = 200): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    const { contextLength = 2048 } = this.#options;
    const routes: Readonly<Record<string, () => unknown>> = {
      '/generate': () => this.#generate(JSON.parse(body) as ReceivedCall, response, request, json),
      '/abort_request': () => {
        this.aborted.add((JSON.parse(body) as { rid: string }).rid);
        response.end();
      },
      '/ready': () => response.writeHead(this.behaviour.ready ? 200 : 503).end(),
      '/health': () => response.end(),
      '/server_info': () =>
        this.behaviour.tellsContext
          ? json({ version: '0.5.23', context_length: contextLength, max_req_input_len: contextLength - 6, ...this.behaviour.info })
          : json({ detail: 'not yet' }, 500),
      '/v1/models': () => json({ object: 'list', data: [{ id: 'scripted', object: 'model', max_model_len: contextLength }] }),
      '/metrics': () =>
        response.end(
          `sglang:num_running_reqs{tp_rank="0"} ${this.running}.0\nsglang:num_queue_reqs{tp_rank="0"} 3.0\nsglang:token_usage{tp_rank="0"} 0.25\n`,
        ),
    };
    const route = routes[request.url ?? ''];
    if (route) await route();
    else json({ detail: 'Not Found' }, 404);
  }

  #closeWhenIdle(response: ServerResponse, idleMs: number): void {
    const { socket } = response;
    response.once('finish', () => {
      const timer = setTimeout(() => socket?.destroy(), idleMs);
      socket?.once('data', () => clearTimeout(timer));
    });
  }

  /** By its beginning, as SGLang finds the requests to abort. */
  #isAborted(rid: string): boolean {
    return [...this.aborted].some((beginning) => rid.startsWith(beginning));
  }

  async #generate(
    call: ReceivedCall,
    response: ServerResponse,
    request: IncomingMessage,
    json: (value: unknown, status?: number) => void,
  ): Promise<void> {
    this.calls.push(call);
    if (this.behaviour.intercept(call, response, request)) return;
    const { next, endIds = [], vocabSize, contextLength = 2048, stepMs = 0 } = this.#options;
    const unknown = Object.keys(call.sampling_params).find((key) => !samplingKeys.has(key));
    const refusal = unknown
      ? { error: `unknown field \`${unknown}\`` }
      : call.input_ids.length >= contextLength - 6
        ? { error: { message: 'The input is longer than the context' } }
        : this.#rids.has(call.rid)
          ? { object: 'error', message: `Duplicate request ID detected: ${call.rid}`, type: 'BadRequest', param: null, code: 400 }
          : undefined;
    if (refusal) {
      json(refusal, 400);
      return;
    }
    const fatal = call.input_ids.some((id) => id < 0 || id >= vocabSize)
      ? 'a token id out of range'
      : (call.top_logprobs_num ?? 0) > vocabSize
        ? 'top_logprobs_num above the vocabulary'
        : undefined;
    if (fatal) {
      this.died = fatal;
      await this.stop();
      return;
    }
    this.running++;
    this.#rids.add(call.rid);
    const connection = { left: false };
    response.once('close', () => {
      connection.left = !response.writableFinished;
      if (connection.left) this.zombies++;
    });
    try {
      const ends = [...endIds, ...(call.sampling_params.stop_token_ids ?? [])];
      const tokens: GeneratedToken[] = [];
      const ids = [...call.input_ids];
      while (tokens.length < call.sampling_params.max_new_tokens) {
        if (stepMs > 0) await sleep(stepMs);
        if (!connection.left && this.#isAborted(call.rid)) break;
        const token = next(ids);
        tokens.push(token);
        ids.push(token.id);
        if (ends.includes(token.id)) break;
      }
      const last = tokens.at(-1);
      const finish = this.#isAborted(call.rid)
        ? { type: 'abort', message: 'Aborted' }
        : last && ends.includes(last.id)
          ? { type: 'stop', matched: last.id }
          : { type: 'length', length: tokens.length };
      const whole = answer(call, tokens, finish, call.return_hidden_states ? this.#read(call.input_ids) : undefined);
      json(this.behaviour.damage ? this.behaviour.damage(whole, call) : whole);
    } finally {
      this.running--;
      this.#rids.delete(call.rid);
    }
  }

  /** Puts a prompt into the prefix cache, of which all but the last token can be found again. */
  #read(ids: readonly number[]): Reading {
    const { passTokens = Infinity } = this.#options;
    let cached = ids.length - 1;
    while (cached > 0 && !this.#cached.has(ids.slice(0, cached).join())) cached--;
    for (let length = 1; length <= ids.length; length++) this.#cached.add(ids.slice(0, length).join());
    const uncached = ids.length - cached;
    return { cached, rows: Math.min(uncached, passTokens), middle: uncached > passTokens };
  }
}

/** How much of a prompt was cached, and how many rows of hidden states its first element brings; `middle`: the last of them is not the prompt's. */
interface Reading {
  readonly cached: number;
  readonly rows: number;
  readonly middle: boolean;
}

/** The answer to a call, in the nested form of the recordings. Prompt rows but the last are of no use, and none of them is. */
export function answer(
  call: ReceivedCall,
  tokens: readonly GeneratedToken[],
  finish: object,
  { cached, rows, middle }: Reading = { cached: 0, rows: call.input_ids.length, middle: false },
): Answer {
  const state = (token: GeneratedToken): number[] => [...(token.hidden ?? [])];
  const useless = (token: GeneratedToken): number[] => state(token).map((value) => value + 1000);
  const states = tokens.map((token, index) =>
    index > 0 ? state(token) : Array.from({ length: rows }, (_, row) => (row === rows - 1 && !middle ? state(token) : useless(token))),
  );
  const top = (token: GeneratedToken): unknown[] =>
    [...(token.top?.ids ?? [])].slice(0, call.top_logprobs_num).map((id, index) => [token.top?.logprobs[index], id, null]);
  return {
    text: '',
    output_ids: tokens.map(({ id }) => id),
    meta_info: {
      id: call.rid,
      finish_reason: finish,
      prompt_tokens: call.input_ids.length,
      completion_tokens: tokens.length,
      cached_tokens: cached,
      ...(call.return_hidden_states && { hidden_states: states }),
      ...(call.top_logprobs_num && { output_top_logprobs: tokens.map(top) }),
    },
  };
}

async function text(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
