import { parentPort, workerData } from 'node:worker_threads';
import { ScoringError } from './errors.ts';
import type { NetworkOptions, NetworkReply, NetworkRequest } from './messages.ts';
import { Network } from './network.ts';

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

if (network) {
  const { facts, score, close } = { facts: network.facts, score: network.score.bind(network), close: network.close.bind(network) };
  port.on('message', (request: NetworkRequest) => {
    if (request.type === 'close') {
      void close().finally(() => port.close());
      return;
    }
    const startedAt = performance.now();
    score(request.batch).then(
      (numbers) => send({ type: 'scored', numbers, runMs: performance.now() - startedAt }, [numbers.buffer]),
      (error: unknown) => send({ type: 'failed', message: messageOf(error) }),
    );
  });
  send({ type: 'ready', facts });
}
