// Loaded into the engine's threads: the one that computes ends, without a word, before it has loaded the model.
import { isMainThread } from 'node:worker_threads';

if (!isMainThread) process.exit(0);
