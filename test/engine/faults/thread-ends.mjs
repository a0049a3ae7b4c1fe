// Loaded into the engine's threads: the one that computes ends, without a word, at the first message it gets.
import { isMainThread, parentPort } from 'node:worker_threads';

if (!isMainThread) parentPort.once('message', () => process.exit(0));
