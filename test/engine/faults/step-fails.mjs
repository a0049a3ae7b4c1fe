// Loaded into the engine's threads: the first step of the one that computes fails outside any sequence.
import { isMainThread } from 'node:worker_threads';

if (!isMainThread) {
  Atomics.wait = () => {
    throw new Error('the device fell off the bus');
  };
}
