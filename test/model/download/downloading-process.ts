import { downloadModel } from '../../../src/model/download/index.ts';

/** A process of its own that downloads, to be killed: `node downloading-process.ts <folder> <hub> <stale ms> <beat ms>`. */
const [, , folder = '', endpoint = '', staleMs = '', beatMs = ''] = process.argv;
const told = await downloadModel(
  { org: 'org', repo: 'model', revision: 'main' },
  {
    hub: { endpoint },
    folder,
    signal: new AbortController().signal,
    limits: { retryDelaysMs: [10, 10, 10] },
    lock: { beatMs: Number(beatMs), staleMs: Number(staleMs) },
    events: { planned: ({ presentBytes }) => process.stdout.write(`${presentBytes}\n`) },
  },
).catch((error: unknown) => ({ error: String(error) }));
process.stdout.write(`${JSON.stringify(told)}\n`);
