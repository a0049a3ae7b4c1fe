import { parseArgs } from 'node:util';
import type { Precision } from '../model/bundle-manifest.ts';
import { importCheckpoint, type ImportedBundle, type ImportStep } from '../model/import-bundle.ts';
import type { CheckpointArguments } from '../model/checkpoint/checkpoint.ts';
import type { SlmConfig } from '../model/slm-config.ts';
import { bundleSummary } from './bundle-summary.ts';
import { canDraftHere, draftRows } from './calibration.ts';
import { resolveSource } from './checkpoint-source.ts';
import { UsageError, parsed, runCommand } from './command.ts';

const routerImportUsage = `usage: r2r router import CHECKPOINT --slm FOLDER -o BUNDLE [flags]

Turns an upstream router checkpoint (.pt) into a router bundle for one SLM. Nothing in the checkpoint is executed.
CHECKPOINT is a path, https://HOST/FILE.pt, hf://ORG/REPO/FILE.pt@REVISION (HF_ENDPOINT, HF_TOKEN) or pvc://CLAIM/FILE.pt (in a pod
that mounts it); or "none" for a bundle without a network, which strategies on raw logits need.

  --slm FOLDER                the SLM's Hugging Face folder (config.json, tokenizer.json, *.safetensors)
  -o, --output BUNDLE         the folder to write; it must not exist, be empty, or hold this very bundle
  --precision LIST            fp32, int8 or both                        [fp32,int8]
  --slm-url URL               a server of the SLM (with hidden states) that drafts rows to compare int8 with fp32 on;
                              without it our own engine drafts them if the SLM is small
  --calibration-rows N        how many rows; 0: no comparison           [1000]
  --override-init-args JSON   replaces init arguments of the checkpoint
  --logits-type TYPE          what the SLM's server rounds logits to: bfloat16, float16 or float32   [as config.json says]
  --json                      print the result, or the error, as JSON

Exits with 2 for a wrong command line and with 1 when something is refused; then nothing is written.`;

const flags = {
  slm: { type: 'string' },
  output: { type: 'string', short: 'o' },
  precision: { type: 'string', default: 'fp32,int8' },
  'slm-url': { type: 'string' },
  'calibration-rows': { type: 'string', default: '1000' },
  'override-init-args': { type: 'string' },
  'logits-type': { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

const maxCalibrationRows = 100_000;
const logitsTypes = ['bfloat16', 'float16', 'float32'] as const;

export interface ImportArguments {
  readonly checkpoint: string;
  readonly slm: string;
  readonly output: string;
  readonly precisions: readonly Precision[];
  readonly slmUrl: string | undefined;
  readonly rows: number;
  readonly overrideInitArgs: CheckpointArguments | undefined;
  readonly logitsType: SlmConfig['logitsType'] | undefined;
  readonly json: boolean;
}

/** `r2r router import` and `kubectl r2r router import`. */
export function routerImport(argv: readonly string[]): Promise<void> {
  return runCommand({ name: 'r2r router import', json: argv.includes('--json') }, async (signal) => {
    const asked = parseImport(argv);
    if (asked === undefined) return { text: [routerImportUsage], json: { usage: routerImportUsage } };
    const started = performance.now();
    const { imported, note } = await run(asked, signal);
    const seconds = (performance.now() - started) / 1000;
    const { folder, digest, existed, manifest } = imported;
    const done = existed ? 'this very bundle was there already' : `took ${seconds.toFixed(1)} s`;
    return {
      text: [...bundleSummary(folder, digest, manifest), ...(note === undefined ? [] : [note]), done],
      json: { folder, digest, existed, seconds: Number(seconds.toFixed(3)), ...(note !== undefined && { note }), manifest },
    };
  });
}

async function run(
  { checkpoint, slm, output, precisions, slmUrl, rows, overrideInitArgs, logitsType, json }: ImportArguments,
  signal: AbortSignal,
): Promise<{ readonly imported: ImportedBundle; readonly note: string | undefined }> {
  const source = checkpoint === 'none' ? undefined : await resolveSource(checkpoint, { environment: process.env, signal });
  const compares = source !== undefined && precisions.includes('int8') && rows > 0;
  const drafts = compares && (slmUrl !== undefined || (await canDraftHere(slm)));
  const imported = await importCheckpoint(
    {
      checkpointPath: source?.path ?? null,
      slmFolder: slm,
      outFolder: output,
      precisions,
      source: source?.source ?? 'the SLM alone',
      ...(overrideInitArgs && { overrideInitArgs }),
      ...(logitsType && { logitsType }),
      ...(drafts && { calibration: (logprobs) => draftRows({ slmFolder: slm, rows, slmUrl }, logprobs, signal) }),
      ...(!json && { progress: (step) => process.stderr.write(`${progressText(step)}\n`) }),
    },
    signal,
  );
  const note = compares && !drafts ? 'give --slm-url to compare int8 with fp32: this SLM is too large to be run here' : undefined;
  return { imported, note };
}

function progressText(step: ImportStep): string {
  switch (step.step) {
    case 'checkpoint':
      return 'reading the checkpoint …';
    case 'slm':
      return "reading the SLM's embedding and LM head …";
    case 'network':
      return `building the network in ${step.precision} …`;
    case 'embedding':
      return 'comparing embeddings …';
    case 'calibration':
      return 'drafting calibration rows on the SLM …';
    case 'comparison':
      return `scoring them in ${step.precision} …`;
    case 'manifest':
      return 'finishing …';
  }
}

/** What a command line asks for; undefined: help. @throws UsageError naming the flag */
export function parseImport(argv: readonly string[]): ImportArguments | undefined {
  const { values, positionals } = parsed(() => parseArgs({ args: [...argv], options: flags, allowPositionals: true }));
  if (values.help) return undefined;
  const [checkpoint, ...more] = positionals;
  if (checkpoint === undefined || checkpoint === '') throw new UsageError('CHECKPOINT is missing: a path, or "none"');
  if (more.length > 0) throw new UsageError(`one CHECKPOINT is imported at a time; what is ${JSON.stringify(more[0])}?`);
  const required = (flag: 'slm' | 'output'): string => {
    const value = values[flag];
    if (value === undefined || value === '') throw new UsageError(`--${flag} is missing`);
    return value;
  };
  const precisions = values.precision.split(',').map((name) => {
    if (name === 'fp32' || name === 'int8') return name;
    throw new UsageError(`--precision must list fp32, int8 or both, got ${JSON.stringify(values.precision)}`);
  });
  const rows = Number(values['calibration-rows']);
  if (!/^\d+$/.test(values['calibration-rows']) || rows > maxCalibrationRows)
    throw new UsageError(`--calibration-rows must be a whole number up to ${maxCalibrationRows}, got "${values['calibration-rows']}"`);
  const url = values['slm-url'];
  if (url !== undefined && !/^https?:\/\/[^/]+/.test(url)) throw new UsageError(`--slm-url must be http://HOST:PORT, got "${url}"`);
  const logitsType = logitsTypes.find((type) => type === values['logits-type']);
  if (values['logits-type'] !== undefined && logitsType === undefined)
    throw new UsageError(`--logits-type must be one of ${logitsTypes.join(', ')}, got "${values['logits-type']}"`);
  return {
    checkpoint,
    slm: required('slm'),
    output: required('output'),
    precisions,
    slmUrl: url,
    rows,
    overrideInitArgs: readOverride(values['override-init-args']),
    logitsType,
    json: values.json,
  };
}

function readOverride(text: string | undefined): CheckpointArguments | undefined {
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--override-init-args is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError('--override-init-args must be a JSON object, such as {"pretrained_model_name": "org/name"}');
  return value as CheckpointArguments;
}
