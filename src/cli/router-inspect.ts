import { parseArgs } from 'node:util';
import { checkBundleFits, openBundle } from '../model/bundle.ts';
import { bundleSummary } from './bundle-summary.ts';
import { UsageError, parsed, runCommand } from './command.ts';

const routerInspectUsage = `usage: r2r router inspect BUNDLE [flags]

Checks every byte of a router bundle and says what is in it.

  --slm FOLDER    check also that the bundle is for the SLM in this folder
  --json          print the manifest, or the error, as JSON

Exits with 2 for a wrong command line and with 1 when the bundle is not sound, or for another SLM.`;

const flags = {
  slm: { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** `r2r router inspect` and `kubectl r2r router inspect`. */
export function routerInspect(argv: readonly string[]): Promise<void> {
  return runCommand({ name: 'r2r router inspect', json: argv.includes('--json') }, async (signal) => {
    const { positionals, values } = parsed(() => parseArgs({ args: [...argv], options: flags, allowPositionals: true }));
    if (values.help) return { text: [routerInspectUsage], json: { usage: routerInspectUsage } };
    const [folder, ...more] = positionals;
    if (folder === undefined || folder === '' || more.length > 0) throw new UsageError('give the folder of one BUNDLE');
    const bundle = await openBundle(folder, signal);
    if (values.slm !== undefined) await checkBundleFits(bundle, values.slm, signal);
    const checked =
      values.slm === undefined ? 'every file is as the manifest says' : `every file is as the manifest says, and fits ${values.slm}`;
    return {
      text: [...bundleSummary(bundle.folder, bundle.digest, bundle.manifest), checked],
      json: { folder: bundle.folder, digest: bundle.digest, manifest: bundle.manifest },
    };
  });
}
