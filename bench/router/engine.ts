/**
 * An emulated model server, a process of its own: `node engine.ts ROLE STEP_MS CALL_OVERHEAD_MS`. It speaks the part of SGLang's native API
 * that the router calls, and times like a GPU: steps of constant length whatever their batch, which a call joins at the next step's start;
 * a call has its first token one step later, the others one a step; the answer leaves after a further overhead that occupies no step
 * (scheduling, tokenising, HTTP), in which it emulates what a one-token call costs more than a decode step.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { positionAt } from './script.ts';
import { stateJson, topJson } from './rows.ts';

interface Body {
  readonly rid: string;
  readonly input_ids: readonly number[];
  readonly sampling_params: { readonly max_new_tokens: number };
  readonly top_logprobs_num?: number;
  readonly return_hidden_states?: boolean;
}

interface Call {
  readonly payload: Buffer;
  readonly response: ServerResponse;
  readonly arrivedMs: number;
  left: number;
  dueMs: number;
}

const [role = 'slm', stepText = '3.1', overheadText = '0'] = process.argv.slice(2);
const [stepMs, overheadMs] = [Number(stepText), Number(overheadText)];
const waiting: Call[] = [];
let running: Call[] = [];
let leaving: Call[] = [];
const statistics = { calls: 0, tokens: 0, steps: 0 };
const doorbell = new Int32Array(new SharedArrayBuffer(4));
let asleep: (() => void) | undefined;

/** Blocks this process, as a GPU step does; a timer is too coarse. */
function sleepUntil(timeMs: number): void {
  const left = timeMs - performance.now();
  if (left > 0) Atomics.wait(doorbell, 0, 0, left);
}

/** Lets requests in. */
async function listen(): Promise<void> {
  await new Promise(setImmediate);
  await new Promise(setImmediate);
}

async function run(): Promise<never> {
  let lastEnd = 0;
  for (;;) {
    running.push(...waiting.splice(0));
    if (running.length > 0) {
      // An idle server's step began when its first request came in, not when the answer was written.
      const end = Math.max(lastEnd, Math.min(...running.map(({ arrivedMs }) => arrivedMs))) + stepMs;
      for (let next = nextDue(); next !== undefined && next < end; next = nextDue()) {
        sleepUntil(next);
        leave();
      }
      sleepUntil(end);
      lastEnd = Math.max(end, performance.now() - 0.2);
      statistics.steps++;
      for (const call of running) if (--call.left === 0) call.dueMs = end + overheadMs;
      leaving.push(...running.filter(({ left }) => left === 0));
      running = running.filter(({ left }) => left > 0);
      leave();
    } else if (leaving.length > 0) {
      sleepUntil(Math.min(nextDue() ?? 0, performance.now() + 0.25));
      leave();
    } else {
      await new Promise<void>((resolve) => {
        asleep = resolve;
      });
    }
    await listen();
  }
}

function nextDue(): number | undefined {
  return leaving.length > 0 ? Math.min(...leaving.map(({ dueMs }) => dueMs)) : undefined;
}

function leave(): void {
  const now = performance.now() + 0.02;
  const ready = leaving.filter(({ dueMs }) => dueMs <= now);
  leaving = leaving.filter(({ dueMs }) => dueMs > now);
  for (const call of ready) answer(call);
}

/** The answer, written while the step still runs: an emulated engine's own work must not count. */
function payloadOf({
  rid,
  input_ids: input,
  sampling_params: sampling,
  top_logprobs_num: top = 0,
  return_hidden_states: hidden,
}: Body): Buffer {
  const count = sampling.max_new_tokens;
  const ids = Array.from({ length: count }, (_, index) => {
    const position = positionAt(input, input.length + index);
    return role === 'slm' ? position.slm : position.llm;
  });
  const parts: Buffer[] = [];
  const write = (...more: readonly (string | Buffer)[]): void => {
    for (const part of more) parts.push(typeof part === 'string' ? Buffer.from(part) : part);
  };
  write(
    `{"text":"","output_ids":[${ids.join(',')}],"meta_info":{"id":"${rid}","finish_reason":{"type":"length","length":${count}},` +
      `"prompt_tokens":${input.length},"completion_tokens":${count},"cached_tokens":${input.length - 1}`,
  );
  if (top > 0) {
    write(',"output_top_logprobs":[');
    for (const [index, id] of ids.entries()) write(index > 0 ? ',' : '', ...topJson(id, input.length + index));
    write(']');
  }
  if (hidden) {
    write(',"hidden_states":[[', stateJson(input.length), ']');
    for (let index = 1; index < count; index++) write(',', stateJson(input.length + index));
    write(']');
  }
  write('}}');
  statistics.calls++;
  statistics.tokens += count;
  return Buffer.concat(parts);
}

function answer({ payload, response }: Call): void {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': payload.length });
  response.end(payload);
}

function send(response: ServerResponse, json: string): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(json);
}

function read(request: IncomingMessage, use: (text: string) => void): void {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => use(Buffer.concat(parts).toString('latin1')));
}

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  switch (request.url ?? '') {
    case '/generate':
      read(request, (text) => {
        const body = JSON.parse(text) as Body;
        const arrivedMs = performance.now();
        waiting.push({ payload: payloadOf(body), response, arrivedMs, left: body.sampling_params.max_new_tokens, dueMs: 0 });
        asleep?.();
        asleep = undefined;
      });
      return;
    case '/server_info':
      send(response, JSON.stringify({ version: '0.5.23', context_length: 32768, max_req_input_len: 32762 }));
      return;
    case '/v1/models':
      send(response, JSON.stringify({ data: [{ id: role, max_model_len: 32768 }] }));
      return;
    case '/statistics':
      send(response, JSON.stringify(statistics));
      return;
    case '/metrics':
      send(response, '');
      return;
    default:
      read(request, () => send(response, '{}'));
  }
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(typeof address === 'object' ? address?.port : address);
});
void run();
