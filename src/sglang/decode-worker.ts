import { parentPort } from 'node:worker_threads';
import { Agent } from 'undici';
import { agentOptions } from './agent-options.ts';
import type { ExpectedAnswer } from './answer.ts';
import type { CarryRequest, DecodeReply, ThreadRequest } from './decode-messages.ts';
import { decodeAnswer } from './decoding.ts';
import { EngineError } from './errors.ts';
import { messageOf, transmit, type HttpAnswer } from './exchange.ts';
import { buffersOf } from './packed-answer.ts';

/**
 * The thread that takes care of large answers: a row of 1,536 floats and 100 log-probabilities is 18 KB of JSON. It parses what it is given,
 * or makes the call itself, so that the event loop sees nothing but the numbers.
 */
const port = parentPort;
if (!port) throw new Error('this module is a worker thread');

const agents = new Map<string, Agent>();
const calls = new Map<number, AbortController>();

port.on('message', (request: ThreadRequest) => {
  if ('kill' in request) calls.get(request.kill)?.abort();
  else if ('drop' in request) drop(request.drop);
  else if ('message' in request) void carry(request);
  else decode(request.call, request.bytes, request.expected, request.url);
});

function decode(call: number, bytes: Uint8Array<ArrayBuffer>, expected: ExpectedAnswer, url: string, wireMs?: number): void {
  const startedAt = performance.now();
  const length = bytes.byteLength;
  try {
    const packed = decodeAnswer(bytes, expected, url);
    const decodeMs = performance.now() - startedAt;
    send({ call, packed, decodeMs, ...(wireMs !== undefined && { wireMs, bytes: length }) }, buffersOf(packed));
  } catch (error) {
    // anything else is a defect or no memory: the thread ends, and the other side tells its callers
    if (!(error instanceof EngineError)) throw error;
    send({ call, code: error.code, detail: error.message.slice(`${url}: `.length) });
  } finally {
    // the text, which is the largest of all that a call leaves behind; a buffer that moves into one of no length is freed at once
    bytes.buffer.transfer(0);
  }
}

async function carry({ call, message, expected, url }: CarryRequest): Promise<void> {
  const kill = new AbortController();
  calls.set(call, kill);
  let answer: HttpAnswer;
  try {
    answer = await transmit(agentOf(message.origin), message, kill.signal);
  } catch (error) {
    const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
    send({ call, wire: { code, message: messageOf(error) } });
    return;
  } finally {
    calls.delete(call);
  }
  if (answer.status === 200) decode(call, answer.bytes, expected, url, answer.wireMs);
  else send({ call, answer }, [answer.bytes.buffer]);
}

function agentOf(origin: string): Agent {
  const known = agents.get(origin);
  if (known) return known;
  const agent = new Agent(agentOptions);
  agents.set(origin, agent);
  return agent;
}

function drop(origin: string): void {
  void agents.get(origin)?.destroy();
  agents.delete(origin);
}

function send(reply: DecodeReply, transfer: ArrayBuffer[] = []): void {
  port?.postMessage(reply, transfer);
}
