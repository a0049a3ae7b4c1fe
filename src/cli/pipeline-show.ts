import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { StepManifest } from '../pipeline/workspace/manifest.ts';
import { bytesIn } from '../pipeline/workspace/usage.ts';
import { Workspace, type FolderEntry, type StepEntry } from '../pipeline/workspace/workspace.ts';
import { parsed, runCommand } from './command.ts';
import { required } from './pipeline-flags.ts';
import { sizeText } from './size-text.ts';

const usage = `usage: r2r pipeline show --workspace DIR [--json]

Lists the folders of a workspace: step, hash, size, which routers have used it and when last, and what a finished step holds: the beginning of
its data's digest, and counts. What else is there is listed below with its size.`;

const flags = {
  workspace: { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** `r2r pipeline show` */
export function pipelineShow(argv: readonly string[]): Promise<void> {
  return runCommand({ name: 'r2r pipeline show', json: argv.includes('--json') }, async () => {
    const { values } = parsed(() => parseArgs({ args: [...argv], options: flags }));
    if (values.help) return { text: [usage], json: { usage } };
    const workspace = new Workspace(resolve(required('workspace', values.workspace)));
    const steps = new Map((await workspace.steps()).map((entry) => [entry.folder, entry]));
    const shown = await Promise.all((await workspace.folders()).map((entry) => shownFolder(workspace, entry, steps.get(entry.folder))));
    const others = await otherThings(workspace);
    const total = [...shown, ...others].reduce((sum, { bytes }) => sum + bytes, 0);
    const text = [
      ...shown.map(folderLine),
      ...others.map(({ name, bytes }) => `other      ${name.padEnd(16)}  ${sizeText(bytes).padStart(10)}`),
      `in all     ${''.padEnd(16)}  ${sizeText(total).padStart(10)}`,
    ];
    return { text: text.length > 1 ? text : [`${workspace.folder} holds no step`], json: shown };
  });
}

/** What is in a finished step, on a line: name, hash, the digest's beginning, counts. */
export function stepLine(manifest: StepManifest): string {
  return `${manifest.step.padEnd(9)}  ${manifest.hash}  ${resultText(manifest)}`;
}

interface Shown {
  readonly step: string;
  readonly hash: string;
  readonly bytes: number;
  readonly owners: readonly { readonly owner: string; readonly lastUsed: string }[];
  /** Of steps of the pipeline; what training and bundling are done with, they say themselves. */
  readonly done?: boolean;
  readonly partsDone?: number;
  readonly digest?: string;
  readonly rows?: StepManifest['rows'];
  readonly counts?: StepManifest['counts'];
  readonly inputs?: StepManifest['inputs'];
}

async function shownFolder(workspace: Workspace, { step, hash, folder }: FolderEntry, entry: StepEntry | undefined): Promise<Shown> {
  const marks = await workspace.marks(folder);
  const owners = marks.map(({ name, usedMs }) => ({ owner: name.replace('.', '/'), lastUsed: new Date(usedMs).toISOString() }));
  const all = { step, hash, bytes: await bytesIn(folder), owners };
  if (!entry) return all;
  const { manifest } = entry;
  if (!manifest) return { ...all, done: false, partsDone: await recordsIn(folder) };
  const { digest, rows, counts, inputs, parts } = manifest;
  return { ...all, done: true, partsDone: parts.length, digest, rows, counts, inputs };
}

function folderLine({ step, hash, bytes, owners, done, partsDone = 0, digest = '', counts = {} }: Shown): string {
  const result =
    done === true
      ? resultText({ digest, counts })
      : done === false
        ? `not done, ${partsDone} part${partsDone === 1 ? '' : 's'} so far`
        : '';
  const used = owners.map(({ owner, lastUsed }) => `${owner} ${lastUsed.slice(0, 16)}Z`).join(', ');
  return `${step.padEnd(9)}  ${hash}  ${sizeText(bytes).padStart(10)}  ${used === '' ? 'no router' : used}${result === '' ? '' : `  ${result}`}`;
}

function resultText({ digest, counts }: Pick<StepManifest, 'digest' | 'counts'>): string {
  const shown = Object.entries(counts).filter(([name]) => !name.includes('.'));
  return `${digest.slice(0, 12)}  ${shown.map(([name, count]) => `${name} ${count}`).join(', ')}`;
}

/** What is no step's: the store of bundles, and what a cleaning that was killed has left. */
async function otherThings({ folder }: Workspace): Promise<readonly { readonly name: string; readonly bytes: number }[]> {
  const names = await readdir(folder).catch(() => []);
  const others = names.filter((name) => !/^[a-z]+-[0-9a-f]{16}$/.test(name)).sort();
  return Promise.all(others.map(async (name) => ({ name, bytes: await bytesIn(join(folder, name)) })));
}

/** Of a step under way. */
async function recordsIn(folder: string): Promise<number> {
  const names = await readdir(join(folder, 'parts')).catch(() => []);
  return names.filter((name) => name.endsWith('.json')).length;
}
