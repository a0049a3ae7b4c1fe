import { downloadModel } from '../../../src/model/download/index.ts';

/** A process of its own that downloads, to be killed: `node downloading-process.ts <folder> <hub> <stale ms>`. */
const [, , folder = '', endpoint = '', staleMs = ''] = process.argv;
const told = await downloadModel(
  { org: 'org', repo: 'model', revision: 'main' },
  {
    hub: { endpoint },
    folder,
    signal: new AbortController().signal,
    limits: { retryDelaysMs: [10, 10, 10] },
    lock: { beatMs: 30, staleMs: Number(staleMs) },
    events: { planned: ({ presentBytes }) => process.stdout.write(`${presentBytes}\n`) },
  },
).catch((error: unknown) => ({ error: String(error) }));
process.stdout.write(`${JSON.stringify(told)}\n`);
