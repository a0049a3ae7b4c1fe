import { parentPort, workerData } from 'node:worker_threads';
import { loadModelConfig } from '../model/model-config.ts';
import { openWeights } from '../model/safetensors.ts';
import { loadTokenizer } from '../model/tokenizer-folder.ts';
import { emulatedMs } from './emulation.ts';
import type { WorkerReply, WorkerRequest } from './messages.ts';
import { bytesPerToken, createModelRunner } from './model-runner.ts';
import type { WorkerOptions } from './options.ts';
import { Scheduler } from './scheduler.ts';

/**
 * The thread that computes: it owns the model, the key-value pool and the scheduler, so that the HTTP thread never waits for a matrix product
 * (a run of ONNX Runtime blocks its thread).
 */
const port = parentPort;
if (!port) throw new Error('this module is a worker thread');
const send = (reply: WorkerReply) => port.postMessage(reply);
const now = () => performance.timeOrigin + performance.now();

let serve: (() => Promise<void>) | undefined;
try {
  serve = await prepare(workerData as WorkerOptions);
} catch (error) {
  send({ type: 'refused', message: error instanceof Error ? error.message : String(error) });
}

// the thread dies of an error in here, which the other side notices
await serve?.();

/** Loads the model and says so; what it returns computes until it is told to end. */
async function prepare(options: WorkerOptions): Promise<() => Promise<void>> {
  const startedAt = now();
  const [stored, weights, tokenizer] = await Promise.all([
    loadModelConfig(options.modelPath),
    openWeights(options.modelPath),
    loadTokenizer(options.modelPath),
  ]);
  const config = { ...stored, computeType: options.dtype };
  const runner = await createModelRunner(config, weights, options);
  const doorbell = new Int32Array(new SharedArrayBuffer(4));
  const scheduler = new Scheduler(runner, {
    ...options,
    endIds: new Set(tokenizer.endIds),
    decode: (ids) => tokenizer.decode(ids, { keepSpecialTokens: true }),
    now,
    hold(startedAt, promptTokens) {
      // a timer is too coarse for steps of a few milliseconds, and nothing else may run in a step anyway
      const left = startedAt + emulatedMs(options.emulation, promptTokens) - now();
      if (left > 0) Atomics.wait(doorbell, 0, 0, left);
    },
  });
  let wake = Promise.withResolvers<undefined>();
  let open = true;

  port?.on('message', (request: WorkerRequest) => {
    switch (request.type) {
      case 'add':
        for (const sequence of request.sequences) scheduler.add(sequence);
        break;
      case 'abort':
        report(scheduler, scheduler.abort(request.rid));
        break;
      case 'abort-all':
        report(scheduler, scheduler.abort(undefined));
        break;
      case 'flush':
        send({ type: 'flushed', call: request.call, done: scheduler.flush(), state: scheduler.state() });
        break;
      case 'close':
        open = false;
    }
    wake.resolve(undefined);
  });
  send({
    type: 'ready',
    facts: {
      vocabSize: config.vocabSize,
      hiddenSize: config.hiddenSize,
      parameterCount: weights.parameterCount,
      weightBytes: [...weights.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0),
      poolTokens: options.poolTokens,
      poolBytes: options.poolTokens * bytesPerToken(config),
      loadSeconds: (now() - startedAt) / 1000,
    },
  });

  return async () => {
    for (;;) {
      while (scheduler.idle && isOpen()) {
        await wake.promise;
        wake = Promise.withResolvers<undefined>();
      }
      if (!isOpen()) break;
      report(scheduler, await scheduler.step());
      // messages are delivered between turns of the event loop
      await new Promise((resolve) => setImmediate(resolve));
    }
    port?.close();
  };

  function isOpen(): boolean {
    return open;
  }
}

function report(scheduler: Scheduler, outputs: Awaited<ReturnType<Scheduler['step']>>): void {
  if (outputs.length > 0) send({ type: 'outputs', outputs, state: scheduler.state() });
}
