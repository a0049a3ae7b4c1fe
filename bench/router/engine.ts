/**
 * An emulated model server, a process of its own: `node engine.ts ROLE STEP_MS CALL_OVERHEAD_MS`. It speaks the part of SGLang's native API
 * that the router calls, and times like a GPU: steps of constant length whatever their batch, which a call joins at the next step's start;
 * a call has its first token one step later, the others one a step; the answer leaves after a further overhead that occupies no step
 * (scheduling, tokenising, HTTP), in which it emulates what a one-token call costs more than a decode step.
 */
import { createServer, type Socket } from 'node:net';
import { positionAt } from './script.ts';
import { stateJson, topJson } from './rows.ts';

interface Body {
  readonly rid: string;
  readonly input_ids: readonly number[];
  readonly sampling_params: { readonly max_new_tokens: number };
  readonly top_logprobs_num?: number;
  readonly return_hidden_states?: boolean;
}

interface Answer {
  readonly payload: Buffer;
  readonly socket: Socket;
}

interface Call extends Answer {
  readonly arrivedMs: number;
  left: number;
  dueMs: number;
}

const [role = 'slm', stepText = '3.1', overheadText = '0'] = process.argv.slice(2);
const [stepMs, overheadMs] = [Number(stepText), Number(overheadText)];
const waiting: Call[] = [];
let running: Call[] = [];
let leaving: Call[] = [];
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
  return Buffer.concat(parts);
}

function answer({ payload, socket }: Answer): void {
  socket.cork();
  socket.write(`HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${payload.length}\r\n\r\n`, 'latin1');
  socket.write(payload);
  socket.uncork();
}

const fixedAnswers: Readonly<Record<string, unknown>> = {
  '/server_info': { version: '0.5.23', context_length: 32768, max_req_input_len: 32762 },
  '/v1/models': { data: [{ id: role, max_model_len: 32768 }] },
};

function receive(socket: Socket, path: string, body: string, arrivedMs: number): void {
  if (path === '/generate') {
    const call = JSON.parse(body) as Body;
    waiting.push({ payload: payloadOf(call), socket, arrivedMs, left: call.sampling_params.max_new_tokens, dueMs: 0 });
    asleep?.();
    asleep = undefined;
  } else answer({ payload: Buffer.from(JSON.stringify(fixedAnswers[path] ?? {})), socket });
}

/** The little of HTTP that the callers of a bench need: node:http would take a millisecond a call, on a processor that has just slept. */
const server = createServer({ noDelay: true }, (socket) => {
  let held: Buffer = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.on('data', (part: Buffer) => {
    const arrivedMs = performance.now();
    held = held.length > 0 ? Buffer.concat([held, part]) : part;
    for (let headEnd = held.indexOf('\r\n\r\n'); headEnd >= 0; headEnd = held.indexOf('\r\n\r\n')) {
      const head = held.toString('latin1', 0, headEnd);
      const end = headEnd + 4 + Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
      if (held.length < end) return;
      const body = held.toString('latin1', headEnd + 4, end);
      held = held.subarray(end);
      receive(socket, head.split(' ', 2)[1] ?? '', body, arrivedMs);
    }
  });
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(typeof address === 'object' ? address?.port : address);
});
void run();
