import { parentPort } from 'node:worker_threads';
import type { DecodeReply, DecodeRequest } from './decode-messages.ts';
import { decodeAnswer } from './decoding.ts';
import { EngineError } from './errors.ts';
import { buffersOf } from './packed-answer.ts';

/** The thread that parses large answers: a row of 1,536 floats and 100 log-probabilities is 18 KB of JSON. */
const port = parentPort;
if (!port) throw new Error('this module is a worker thread');

port.on('message', ({ call, bytes, expected, url }: DecodeRequest) => {
  const startedAt = performance.now();
  try {
    const packed = decodeAnswer(bytes, expected, url);
    const reply: DecodeReply = { call, packed, decodeMs: performance.now() - startedAt };
    port.postMessage(reply, buffersOf(packed));
  } catch (error) {
    // anything else is a defect or no memory: the thread ends, and the other side tells its callers
    if (!(error instanceof EngineError)) throw error;
    const reply: DecodeReply = { call, code: error.code, detail: error.message.slice(`${url}: `.length) };
    port.postMessage(reply);
  }
});
