import { parentPort, workerData } from 'node:worker_threads';
import { ScoringError } from './errors.ts';
import type { NetworkOptions, NetworkReply, NetworkRequest } from './messages.ts';
import { Network } from './network.ts';
import { buffersOf, type RowBatch } from './row-batch.ts';

/** The thread that owns the router network: a run of ONNX Runtime blocks its thread, and the event loop must never wait for one. */
const port = parentPort;
if (!port) throw new Error('this module is a worker thread');
const send = (reply: NetworkReply, buffers: ArrayBuffer[] = []) => port.postMessage(reply, buffers);
const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

let network: Network | undefined;
try {
  network = await Network.load(workerData as NetworkOptions);
} catch (error) {
  // the other errors are about the files of the bundle or of the SLM
  send({ type: 'refused', code: error instanceof ScoringError ? error.code : 'bundle_refused', message: messageOf(error) });
}

if (network) serve(network);

function serve(loaded: Network): void {
  let running: Promise<void> | undefined;
  port?.on('message', (request: NetworkRequest) => {
    if (request.type === 'batch') running = answer(loaded, request.batch);
    else void end(loaded, running);
  });
  send({ type: 'ready', facts: loaded.facts });
}

/** Never rejects. */
async function answer(loaded: Network, batch: RowBatch): Promise<void> {
  const startedAt = performance.now();
  try {
    const numbers = await loaded.score(batch);
    // now, and not when this thread, which makes hardly any garbage, collects some
    for (const buffer of buffersOf(batch)) buffer.transfer(0);
    send({ type: 'scored', numbers, runMs: performance.now() - startedAt }, [numbers.buffer]);
  } catch (error) {
    send({ type: 'failed', message: messageOf(error) });
  }
}

async function end(loaded: Network, running: Promise<void> | undefined): Promise<void> {
  await running;
  await loaded.close();
  port?.close();
}
