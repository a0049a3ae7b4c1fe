import assert from 'node:assert/strict';

export interface Piece {
  readonly id: number;
  readonly text: string;
  readonly source: string;
}

export interface Extension {
  readonly llm_ratio?: number;
  readonly r2r?: {
    readonly strategy?: string;
    readonly threshold?: number;
    readonly degraded?: boolean;
    readonly token_counts?: Readonly<Record<string, number>>;
    readonly tokens?: readonly Piece[];
  };
}

export interface Completion extends Extension {
  readonly id: string;
  readonly object: string;
  readonly model: string;
  readonly choices: readonly {
    readonly message: { readonly role: string; readonly content: string; readonly reasoning_content?: string };
    readonly finish_reason: string;
  }[];
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number; readonly total_tokens: number };
}

export interface Chunk extends Extension {
  readonly object: string;
  readonly choices: readonly {
    readonly delta: { readonly role?: string; readonly content?: string; readonly reasoning_content?: string };
    readonly finish_reason: string | null;
  }[];
  readonly usage?: Completion['usage'] | null;
  readonly error?: { readonly message: string; readonly type: string; readonly param: string | null; readonly code: string };
}

/** The body of an error answer. */
export interface Refusal {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string;
    readonly request_id: string;
  };
}

export const ask = { model: 'pair', messages: [{ role: 'user', content: 'say it' }] };

export function post(
  url: string,
  body: unknown,
  init: { readonly signal?: AbortSignal; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    body: typeof body === 'string' ? body : body instanceof Uint8Array ? Uint8Array.from(body) : JSON.stringify(body),
    ...init,
    headers: { 'content-type': 'application/json', ...init.headers },
  });
}

export async function complete(url: string, change: object = {}): Promise<Completion> {
  const response = await post(url, { ...ask, ...change });
  const body: unknown = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  return body as Completion;
}

/** Reads a stream of server-sent events to its end. */
export async function* chunks(response: Response): AsyncGenerator<Chunk | '[DONE]'> {
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
  let buffer = '';
  const decoder = new TextDecoder();
  for await (const bytes of response.body!) {
    buffer += decoder.decode(bytes as Uint8Array, { stream: true });
    for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
      const event = buffer.slice(0, end);
      buffer = buffer.slice(end + 2);
      assert.ok(event.startsWith('data: '), event);
      const data = event.slice('data: '.length);
      yield data === '[DONE]' ? data : (JSON.parse(data) as Chunk);
    }
  }
  assert.equal(buffer, '');
}

/** A whole streamed answer: its chunks and what they add up to. */
export async function streamed(url: string, change: object = {}) {
  const events: (Chunk | '[DONE]')[] = [];
  for await (const event of chunks(await post(url, { ...ask, stream: true, ...change }))) events.push(event);
  const parts = events.filter((event) => event !== '[DONE]');
  const join = (field: 'content' | 'reasoning_content'): string => parts.map((part) => part.choices[0]?.delta[field] ?? '').join('');
  return {
    events,
    parts,
    content: join('content'),
    reasoning: join('reasoning_content'),
    finish: parts.findLast((part) => part.choices[0]?.finish_reason)?.choices[0]?.finish_reason,
    last: parts.findLast((part) => part.r2r?.strategy !== undefined),
    tokens: parts.flatMap((part) => part.r2r?.tokens ?? []),
  };
}
