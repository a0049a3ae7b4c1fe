import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { StepManifest } from '../pipeline/workspace/manifest.ts';
import { Workspace } from '../pipeline/workspace/workspace.ts';
import { parsed, runCommand } from './command.ts';
import { required } from './pipeline-flags.ts';

const usage = `usage: r2r pipeline show --workspace DIR [--json]

Lists the steps of a workspace: which are done, what they hold, and the digest of their data.`;

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
    const text: string[] = [];
    const json: object[] = [];
    for (const { step, hash, folder, manifest } of await workspace.steps()) {
      const partsDone = manifest ? manifest.parts.length : await recordsIn(folder);
      text.push(
        manifest ? stepLine(manifest) : `${step.padEnd(9)}  ${hash}  not done     ${partsDone} part${partsDone === 1 ? '' : 's'} so far`,
      );
      json.push({ step, hash, done: manifest !== undefined, partsDone, ...(manifest && wholeOf(manifest)) });
    }
    return { text: text.length > 0 ? text : [`${workspace.folder} holds no step`], json };
  });
}

/** What is in a finished step, on a line: name, hash, the digest's beginning, counts. */
export function stepLine({ step, hash, digest, counts }: StepManifest): string {
  const shown = Object.entries(counts).filter(([name]) => !name.includes('.'));
  return `${step.padEnd(9)}  ${hash}  ${digest.slice(0, 12)}  ${shown.map(([name, count]) => `${name} ${count}`).join(', ')}`;
}

function wholeOf({ digest, rows, counts, inputs }: StepManifest): object {
  return { digest, rows, counts, inputs };
}

/** Of a step under way. */
async function recordsIn(folder: string): Promise<number> {
  const names = await readdir(join(folder, 'parts')).catch(() => []);
  return names.filter((name) => name.endsWith('.json')).length;
}
