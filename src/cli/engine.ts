import { parseArgs } from 'node:util';
import { EngineStartError } from '../engine/engine-client.ts';
import { parseEmulation } from '../engine/emulation.ts';
import type { EngineOptions } from '../engine/options.ts';
import { startEngine } from '../engine/server.ts';
import { ModelError } from '../model/errors.ts';

const usage = `usage: r2r engine --model-path FOLDER [flags]

Serves a Hugging Face model folder (Qwen2, Qwen3, Llama) on the CPU with SGLang's HTTP API.

  --model-path FOLDER            config.json, tokenizer.json, *.safetensors
  --served-model-name NAME       name in /v1/models (default: the folder)
  --host ADDRESS                 default 127.0.0.1
  --port PORT                    default 30000; 0 takes any free port
  --context-length N             tokens of prompt and answer (default: the model's)
  --enable-return-hidden-states  requests may ask for hidden states
  --max-total-tokens N           tokens of the key-value pool
  --max-running-requests N       requests computed at a time (default 64)
  --max-prefill-tokens N         prompt tokens of one step (default 16384)
  --chunked-prefill-size N       default 4096
  --enable-metrics               serve /metrics, put timings into answers
  --dtype TYPE                   auto (the model's), bfloat16, float16 or float32: what results are rounded to
  --threads N                    threads of one model run (default 1)
  --emulate SETTINGS             step times of another device in ms, e.g. decode=3.1,prefill=0.05

Accepted for SGLang's sake: --page-size 1, --tp-size 1, --device cpu, --random-seed, --log-level, and without effect
--mem-fraction-static, --disable-cuda-graph, --disable-overlap-schedule, --trust-remote-code.

Environment: SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION=false makes /health answer at once.`;

const flags = {
  'model-path': { type: 'string' },
  'served-model-name': { type: 'string' },
  host: { type: 'string' },
  port: { type: 'string' },
  'context-length': { type: 'string' },
  'enable-return-hidden-states': { type: 'boolean' },
  'max-total-tokens': { type: 'string' },
  'max-running-requests': { type: 'string' },
  'max-prefill-tokens': { type: 'string' },
  'chunked-prefill-size': { type: 'string' },
  'enable-metrics': { type: 'boolean' },
  threads: { type: 'string' },
  emulate: { type: 'string' },
  'page-size': { type: 'string' },
  'tp-size': { type: 'string' },
  'tensor-parallel-size': { type: 'string' },
  tp: { type: 'string' },
  device: { type: 'string' },
  dtype: { type: 'string' },
  'mem-fraction-static': { type: 'string' },
  'random-seed': { type: 'string' },
  'log-level': { type: 'string' },
  'disable-cuda-graph': { type: 'boolean' },
  'disable-overlap-schedule': { type: 'boolean' },
  'trust-remote-code': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Flags that must have the one value that this engine has anyway. */
const fixed: Readonly<Record<string, string>> = {
  'page-size': '1',
  'tp-size': '1',
  'tensor-parallel-size': '1',
  tp: '1',
  device: 'cpu',
};
const ignored = ['mem-fraction-static', 'random-seed', 'log-level', 'disable-cuda-graph', 'disable-overlap-schedule', 'trust-remote-code'];

const dtypes = {
  auto: undefined,
  bfloat16: 'bfloat16',
  float16: 'float16',
  half: 'float16',
  float32: 'float32',
  float: 'float32',
} as const;

/** A command line that cannot be followed. */
class FlagError extends Error {}

const log = (fields: Readonly<Record<string, unknown>>) => console.log(JSON.stringify({ time: new Date().toISOString(), ...fields }));

function readFlags(argv: readonly string[]): Readonly<Record<string, string | boolean | undefined>> {
  try {
    return parseArgs({ args: [...argv], options: flags, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new FlagError(error instanceof Error ? error.message : String(error));
  }
}

function readOptions(values: Readonly<Record<string, string | boolean | undefined>>, environment: NodeJS.ProcessEnv): EngineOptions {
  const text = (name: string) => (typeof values[name] === 'string' ? values[name] : undefined);
  const count = (name: string, least: number) => {
    const value = text(name);
    if (value === undefined) return undefined;
    if (!/^\d+$/.test(value) || Number(value) < least)
      throw new FlagError(`--${name} must be a whole number of at least ${least}, got "${value}"`);
    return Number(value);
  };
  const modelPath = text('model-path');
  if (modelPath === undefined) throw new FlagError('--model-path is missing: the model folder to serve');
  for (const [name, only] of Object.entries(fixed)) {
    const value = text(name);
    if (value !== undefined && value !== only) throw new FlagError(`--${name} ${value} is not possible on the CPU engine, only ${only} is`);
  }
  const dtype = text('dtype') ?? 'auto';
  if (!Object.hasOwn(dtypes, dtype)) throw new FlagError(`--dtype must be one of ${Object.keys(dtypes).join(', ')}, got "${dtype}"`);
  const found = Object.entries({
    dtype: dtypes[dtype as keyof typeof dtypes],
    servedModelName: text('served-model-name'),
    host: text('host'),
    port: count('port', 0),
    contextLength: count('context-length', 8),
    maxTotalTokens: count('max-total-tokens', 8),
    maxRunningRequests: count('max-running-requests', 1),
    maxPrefillTokens: count('max-prefill-tokens', 1),
    chunkedPrefillSize: count('chunked-prefill-size', 1),
    threads: count('threads', 1),
    emulation: values['emulate'] === undefined ? undefined : parseEmulation(text('emulate') ?? ''),
  }).filter(([, value]) => value !== undefined);
  return {
    ...Object.fromEntries(found),
    modelPath,
    returnHiddenStates: values['enable-return-hidden-states'] === true,
    metrics: values['enable-metrics'] === true,
    healthGeneration: !/^(false|0|no|n)$/i.test(environment['SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION'] ?? ''),
  };
}

/**
 * `r2r engine`: serves until SIGTERM or SIGINT, then finishes the requests it has and exits 0; a second signal ends it at once. Exits 2 for a
 * wrong command line and 1, with one line on stderr, for a model that cannot be served or a thread that died.
 */
export async function engine(argv: readonly string[]): Promise<void> {
  let options: EngineOptions;
  try {
    const values = readFlags(argv);
    if (values['help'] === true) {
      console.log(usage);
      return;
    }
    options = readOptions(values, process.env);
    for (const name of ignored.filter((each) => values[each] !== undefined))
      log({ level: 'info', message: 'flag has no effect on the CPU engine', flag: `--${name}` });
  } catch (error) {
    if (!(error instanceof FlagError || error instanceof RangeError)) throw error;
    console.error(`r2r engine: ${error.message}; \`r2r engine --help\` lists the flags`);
    process.exit(2);
  }
  try {
    // without its thread the engine is of no use, and only a new process has a new one
    const running = await startEngine(options, (error) => {
      console.error(`r2r engine: ${error.message}`);
      process.exit(1);
    });
    log({
      level: 'info',
      message: 'engine ready',
      url: running.url,
      model: running.options.modelPath,
      contextLength: running.options.contextLength,
    });
    let stopping = false;
    const stop = (signal: string) => {
      if (stopping) process.exit(1);
      stopping = true;
      log({ level: 'info', message: 'draining', signal });
      void running
        .drain()
        .then(() => running.close())
        .then(() => process.exit(0));
    };
    for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, stop);
  } catch (error) {
    const known = error instanceof ModelError || error instanceof EngineStartError || (error instanceof Error && 'syscall' in error);
    if (!known) throw error;
    console.error(`r2r engine: ${error.message}`);
    process.exit(1);
  }
}
