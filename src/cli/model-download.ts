import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { parseHubModel, type HubModel } from '../api/hub-model.ts';
import { downloadModel } from '../model/download/index.ts';
import type { TerminationMessage } from '../pipeline/outcome.ts';
import { UsageError, parsed } from './command.ts';
import { hubOptions, hubSettings } from './hub-settings.ts';
import { required } from './pipeline-flags.ts';
import { runProcessOfSteps, type ProcessWork, type StepProcess } from './pipeline-process.ts';
import { proxyDispatcher } from './proxy.ts';
import { sizeText } from './size-text.ts';

const usage = `usage: r2r model download --model hf://ORG/REPO[@REVISION] --folder DIR [flags]

Brings what is needed to serve a model (configuration, tokenizer, chat template, safetensors; never pickles) into a folder, at the commit that the
revision is when the first try begins. Each file is checked against the digest that the hub lists; a download that was ended at any instant goes on
where it was, and a folder that is whole is left as it is. Ends with 0 when the model is there, 1 when running it again may help, 3 when a person is
needed.

  --model ADDRESS          hf://ORG/REPO@REVISION; left out, the revision is main
  --folder DIR             where the model is to be; several processes may be told the same one
  --files N                files at a time                                            (default: 4)
  --hf-endpoint URL        the hub                                                    (default: $HF_ENDPOINT, else https://huggingface.co)
  --hf-token-file FILE     token for private and gated models                         (default: $HF_TOKEN)
  --status-port PORT       /progress, /metrics and /healthz; 0 takes a free one       (default: 9090)
  --termination-log FILE   where the last words go, as JSON

HTTPS_PROXY, HTTP_PROXY and NO_PROXY are heeded; NODE_EXTRA_CA_CERTS names a file of authorities to trust besides.
`;

const flags = {
  model: { type: 'string' },
  folder: { type: 'string' },
  files: { type: 'string', default: '4' },
  'hf-endpoint': { type: 'string' },
  'hf-token-file': { type: 'string' },
  'status-port': { type: 'string', default: '9090' },
  'termination-log': { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

interface Work {
  readonly address: string;
  readonly model: HubModel;
  readonly folder: string;
  readonly atOnce: number;
  readonly hub: ReturnType<typeof hubSettings>;
}

/** `r2r model download` */
export function modelDownload(argv: readonly string[]): Promise<void> {
  return runProcessOfSteps({ name: 'r2r model download', argv, logTo: 1 }, () => Promise.resolve(prepare(argv)));
}

function prepare(argv: readonly string[]): ProcessWork | undefined {
  const { values } = parsed(() => parseArgs({ args: [...argv], options: flags }));
  if (values.help) {
    process.stdout.write(usage);
    return undefined;
  }
  const address = required('model', values.model);
  const model = parseHubModel(address);
  if (!model) throw new UsageError(`--model must be hf://ORG/REPO@REVISION, not "${address}"`);
  const work: Work = {
    address,
    model,
    folder: resolve(required('folder', values.folder)),
    atOnce: numberOf('files', values.files, 1, 32),
    hub: hubSettings(values, process.env),
  };
  const statusPort = numberOf('status-port', values['status-port'], 0, 65_535);
  return { engine: undefined, model: undefined, statusPort, run: (given) => download(work, given) };
}

async function download({ address, model, folder, atOnce, hub }: Work, { log, signal, begin }: StepProcess): Promise<TerminationMessage> {
  const progress = begin();
  const dispatcher = proxyDispatcher(process.env);
  const identity = { step: 'download', hash: address, shard: { index: 0, count: 1 } };
  log.info({ model: address, folder, hub: hub.endpoint }, 'downloading');
  const { commit, files, bytes, fresh } = await downloadModel(model, {
    hub: await hubOptions(hub, address, 'spec.modelCache.tokenSecretRef'),
    folder,
    atOnce,
    signal,
    ...(dispatcher && { dispatcher }),
    events: {
      planned(plan) {
        log.info(
          { commit: plan.commit, files: plan.files, size: sizeText(plan.totalBytes), present: sizeText(plan.presentBytes) },
          'planned',
        );
        progress.start({ ...identity, unit: 'bytes', total: plan.totalBytes, partsTotal: plan.files, concurrency: atOnce });
        progress.resume(plan.presentBytes);
      },
      changed: (count) => progress.advance(count),
      finished(path) {
        log.info({ path }, 'file is whole');
        progress.partDone({});
      },
    },
  });
  log.info({ commit, files, size: sizeText(bytes) }, fresh ? 'the model is there' : 'the model was there');
  return { ok: true, step: 'download', hash: address, shard: 0, sealed: true, digest: commit, counts: { files, bytes } };
}

function numberOf(flag: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= min && value <= max) return value;
  throw new UsageError(`--${flag} must be a whole number from ${min} to ${max}, not "${text}"`);
}
