import { setTimeout as sleep } from 'node:timers/promises';
import { runToy } from './toy-steps.ts';

/** The toy pipeline in a process of its own, slow enough to be killed in the middle of it. */
const [, , folder = '', count = ''] = process.argv;
process.stdout.write('started\n');
const request = async (_: string, signal: AbortSignal): Promise<void> => {
  await sleep(Math.random() * 40, undefined, { signal });
};
await runToy({ folder, count: Number(count), request });
