import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { cleanWorkspace } from '../pipeline/workspace/clean.ts';
import { parsed, runCommand } from './command.ts';
import { ownerOf, required, stepHashes, wholeNumber } from './pipeline-flags.ts';
import { sizeText } from './size-text.ts';

const usage = `usage: r2r pipeline clean --workspace DIR --owner NAMESPACE/NAME --keep N [--current HASH …] [--json]

Removes the results of a router's earlier parameters and data. What another router uses, and what no router has marked, stays.

  --workspace DIR            the folder with the steps
  --owner NAMESPACE/NAME     the R2RRouter whose results are looked at
  --keep N                   results of each step that stay beside the current ones, those used last;
                             0 for a router that is there no more
  --current HASH             of a step that the router is made of now, which stays; give it once for each step
  --json                     print what was removed as JSON`;

const flags = {
  workspace: { type: 'string' },
  owner: { type: 'string' },
  keep: { type: 'string' },
  current: { type: 'string', multiple: true },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** `r2r pipeline clean` */
export function pipelineClean(argv: readonly string[]): Promise<void> {
  return runCommand({ name: 'r2r pipeline clean', json: argv.includes('--json') }, async (signal) => {
    const { values } = parsed(() => parseArgs({ args: [...argv], options: flags }));
    if (values.help) return { text: [usage], json: { usage } };
    const workspace = resolve(required('workspace', values.workspace));
    const owner = ownerOf(required('owner', values.owner));
    const keep = wholeNumber('keep', required('keep', values.keep));
    const current = stepHashes(values.current);
    const log = {
      info: () => undefined,
      warn: (fields: object, message: string) => console.error(message, fields),
      error: (fields: object, message: string) => console.error(message, fields),
    };
    const removed = await cleanWorkspace(workspace, { owner, keep, current }, { log, signal });
    const lines = removed.map(({ step, hash, bytes }) => `${step.padEnd(9)}  ${hash}  removed  ${sizeText(bytes)}`);
    return {
      text: lines.length > 0 ? lines : ['nothing is to be removed'],
      json: removed.map(({ step, hash, bytes }) => ({ step, hash, bytes })),
    };
  });
}
