import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { EnvHttpProxyAgent } from 'undici';
import { z } from 'zod';
import { jobNames, type JobName } from '../api/r2rrouter-jobs.ts';
import type { StepSpec } from '../api/step-identity.ts';
import { claimFolder } from '../api/claim.ts';
import { fetchArtifact, type S3Settings } from '../model/fetch/index.ts';
import { BundleStore, FolderBlobs, S3Blobs, StoreError } from '../model/store/index.ts';
import { runBundle, type BundleContext } from '../pipeline/bundle/bundle-step.ts';
import { bundleMessage } from '../pipeline/bundle/record.ts';
import { failureMessage } from '../pipeline/outcome.ts';
import { UsageError, parsed } from './command.ts';
import { hubOptions, hubSettings } from './hub-settings.ts';
import { engineFlags } from './pipeline-engines.ts';
import { ownerOf, readFlagFile, required, stepHashes, wholeNumber } from './pipeline-flags.ts';
import { runProcessOfSteps } from './pipeline-process.ts';
import { s3Flags, s3FlagsUsage, s3Settings } from './s3-flags.ts';

const usage = `usage: r2r pipeline bundle --workspace DIR --spec FILE --model slm=FOLDER --store PLACE [flags]

Makes a router bundle of a checkpoint, measures it on the test rows of the label set, and stores it. What is done already is not done again.

  --workspace DIR            the folder with the steps
  --spec FILE                the step as JSON: {"step": "bundle", "format", "params", "inputs": {"train": {"hash", "digest"}, …}};
                             without a training step, params.checkpoint.uri names the checkpoint
  --model slm=FOLDER         the SLM's Hugging Face folder
  --data FOLDER              the label set, whose test rows it is measured on    [it is measured on nothing]
  --compare URI --min-recall X
                             a bundle in use, measured on the same rows where it reaches this recall
  --must-compare             fails where that bundle cannot be had   [says so and goes on without it]
  --store PLACE              a folder or s3://BUCKET/PREFIX: bundles are stored as bundles/DIGEST below it
  --store-uri URI            what routers call that folder, such as pvc://CLAIM/PATH   [the folder itself]
  --prune [--retain DIGEST …]
                             deletes the other bundles of this place that nobody uses, except those to be retained
  --owner NAMESPACE/NAME     marks the folders of the steps as used by this R2RRouter   [no mark: never cleaned up]
  --keep N [--current HASH …]
                             removes the owner's earlier results from the workspace but N of each step, and these
${s3FlagsUsage}
  --cache DIR                for downloads and what is needed on the way        [r2r-bundle in the folder for temporary files]
  --hf-endpoint URL          the Hugging Face hub for hf:// checkpoints         [$HF_ENDPOINT, else the public one]
  --hf-token-file FILE       the token for it                                   [$HF_TOKEN]
  --termination-log FILE     what came of it as one JSON object, for the operator
  --status-port PORT         serves /progress, /metrics and /healthz; 0 takes a free one  [9090]

Exits with 0 when the bundle is stored, 1 when running it again may help, 2 for a wrong command line, 3 when a person is needed.`;

/** Also what the Jobs of a router are held against. */
export const pipelineBundleFlags = {
  workspace: { type: 'string' },
  spec: { type: 'string' },
  model: { type: 'string', multiple: true },
  data: { type: 'string' },
  compare: { type: 'string' },
  'min-recall': { type: 'string' },
  'must-compare': { type: 'boolean', default: false },
  store: { type: 'string' },
  'store-uri': { type: 'string' },
  prune: { type: 'boolean', default: false },
  retain: { type: 'string', multiple: true },
  owner: { type: 'string' },
  keep: { type: 'string' },
  current: { type: 'string', multiple: true },
  ...s3Flags,
  cache: { type: 'string', default: join(tmpdir(), 'r2r-bundle') },
  'hf-endpoint': { type: 'string' },
  'hf-token-file': { type: 'string' },
  'termination-log': { type: 'string' },
  'status-port': { type: 'string', default: '9090' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** The bundling step as a Job is given it. */
export const bundleSpecSchema: z.ZodType<StepSpec<JobName>> = z.strictObject({
  step: z.literal('bundle'),
  format: z.int().positive(),
  params: z.record(z.string(), z.json()),
  inputs: z.partialRecord(z.enum(jobNames), z.strictObject({ hash: z.string(), digest: z.string() })),
});

/** `r2r pipeline bundle` */
export function pipelineBundle(argv: readonly string[]): Promise<void> {
  return runProcessOfSteps({ name: 'r2r pipeline bundle', argv, logTo: 1 }, async () => {
    const { values } = parsed(() => parseArgs({ args: [...argv], options: pipelineBundleFlags }));
    if (values.help) {
      console.log(usage);
      return undefined;
    }
    const workspace = resolve(required('workspace', values.workspace));
    const spec = await readFlagFile('spec', required('spec', values.spec), (text) => bundleSpecSchema.parse(JSON.parse(text)));
    const slm = engineFlags([], values.model).find(({ role }) => role === 'slm');
    if (!slm) throw new UsageError('--model slm=FOLDER is missing');
    const settings = s3Settings(values, process.env);
    const store = new BundleStore(blobsOf(required('store', values.store), values['store-uri'], settings));
    const hub = hubSettings(values, process.env);
    const cacheFolder = resolve(values.cache);
    const dispatcher = new EnvHttpProxyAgent();
    const given = {
      ...{ workspace, slmFolder: slm.folder, store, cacheFolder },
      labels: values.data === undefined ? undefined : resolve(values.data),
      compare: compareOf(values.compare, values['min-recall'], values['must-compare']),
      retain: retainedOf(values.prune, values.retain),
      owner: values.owner === undefined ? undefined : ownerOf(values.owner),
      clean: values.keep === undefined ? undefined : { keep: wholeNumber('keep', values.keep), current: stepHashes(values.current) },
      fetch: async (uri: string, signal: AbortSignal) =>
        fetchArtifact(uri, {
          ...{ cacheFolder, claimFolder, signal, dispatcher },
          s3: settings,
          hub: await hubOptions(hub, uri, hubSecret),
        }),
    };
    return {
      engine: undefined,
      model: values.model,
      statusPort: wholeNumber('status-port', values['status-port']),
      run: async ({ log, signal, begin }) => {
        try {
          return bundleMessage(await runBundle(spec, { ...given, log, signal, progress: begin() }));
        } catch (error) {
          return failureMessage(spec, { index: 0, count: 1 }, error);
        }
      },
    };
  });
}

const hubSecret = 'spec.source.checkpoint.tokenSecretRef';

function blobsOf(place: string, uri: string | undefined, settings: S3Settings): FolderBlobs | S3Blobs {
  if (!place.startsWith('s3://')) return new FolderBlobs(resolve(place), uri === undefined ? {} : { address: uri });
  if (uri !== undefined) throw new UsageError('--store-uri is for folders: an object store is called the same everywhere');
  const [, bucket = '', prefix = ''] = /^s3:\/\/([^/]*)\/?(.*?)\/*$/.exec(place) ?? [];
  try {
    return new S3Blobs({ bucket, prefix, settings });
  } catch (error) {
    if (error instanceof StoreError) throw new UsageError(`--store ${error.message}`, { cause: error });
    throw error;
  }
}

function compareOf(uri: string | undefined, recall: string | undefined, isNeeded: boolean): BundleContext['compare'] {
  if (uri === undefined && recall === undefined) return undefined;
  if (uri === undefined || recall === undefined) throw new UsageError('--compare and --min-recall go together: give both or none');
  const minRecall = recall.trim() === '' ? Number.NaN : Number(recall);
  if (!(minRecall >= 0 && minRecall <= 1)) throw new UsageError(`--min-recall must be from 0 to 1, got "${recall}"`);
  return { uri, minRecall, isNeeded };
}

function retainedOf(prune: boolean, retain: readonly string[] = []): readonly string[] | undefined {
  if (!prune && retain.length > 0) throw new UsageError('--retain is for --prune: give both');
  const wrong = retain.find((digest) => !/^[0-9a-f]{64}$/.test(digest));
  if (wrong !== undefined) throw new UsageError(`--retain must be a bundle's digest, 64 hexadecimal digits, got "${wrong}"`);
  return prune ? retain : undefined;
}
