import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { pino, type Logger } from 'pino';
import { collectDefaultMetrics } from 'prom-client';
import { RouterMetrics } from '../router/metrics.ts';
import { clusterSources } from './cluster-sources.ts';
import { launcherEndpoints } from './launcher-endpoints.ts';
import { hubSettings } from './hub-settings.ts';
import { networkFingerprint } from './network-fingerprint.ts';
import { networkLoader } from './network-loader.ts';
import { s3Flags, s3FlagsUsage, s3Settings } from './s3-flags.ts';
import {
  configFile,
  fixedEndpoints,
  noTracer,
  OtlpTracer,
  startRouter,
  type ConfigSource,
  type EndpointSource,
  type RouterOptions,
  type Tracer,
} from '../router/index.ts';

const usage = `usage: r2r router --slm-url URL --slm-model-path DIR --llm-model-path DIR [flags]

  --slm-url URL              the SLM's server (SGLang or the CPU engine), which may still be starting
  --slm-model-path DIR       the SLM's Hugging Face folder: tokenizer, chat template, config.json
  --llm-model-path DIR       the LLM's
  --llm-url URL              an LLM server; repeat for several
  --config FILE              the live configuration (JSON); a change is picked up within a second
  --namespace NAME --config-map NAME
                             in a pod, instead of --config: watch it through the API server
  --llm-service NAME         the same for the LLM servers, instead of --llm-url
  --launcher-url URL         in a pod with its own LLM (placement Colocated): what tells whether the one at --llm-url takes requests
  --bundle-cache DIR         where checkpoints and the bundles made of them are kept; a folder that outlives restarts saves downloads
                                                                                [r2r-bundles in the folder for temporary files]
  --hf-endpoint URL          the Hugging Face hub for hf:// checkpoints         [$HF_ENDPOINT, else the public one]
  --hf-token-file FILE       the token for it, read anew for each fetch         [$HF_TOKEN]
${s3FlagsUsage}
  --host HOST, --port PORT   OpenAI's API                                       [0.0.0.0:8000]
  --api-keys PATH            take only requests with one of these keys: a file with a key a line, or a folder of such
                             files (a mounted Secret); a change is picked up within a second
  --tls-cert FILE --tls-key FILE
                             speak HTTPS on that port (PEM); renewed files are picked up within a second
  --otlp-endpoint URL        send traces to this OpenTelemetry receiver (OTLP over HTTP, JSON)   [$OTEL_EXPORTER_OTLP_ENDPOINT]
  --admin-host, --admin-port metrics and status                                 [0.0.0.0:9090]
  --drain-delay-seconds N    on SIGTERM, take requests for so long after /ready has said no  [5]`;

const flags = {
  'slm-url': { type: 'string' },
  'slm-model-path': { type: 'string' },
  'llm-model-path': { type: 'string' },
  'llm-url': { type: 'string', multiple: true },
  config: { type: 'string' },
  namespace: { type: 'string' },
  'config-map': { type: 'string' },
  'llm-service': { type: 'string' },
  'launcher-url': { type: 'string' },
  host: { type: 'string', default: '0.0.0.0' },
  port: { type: 'string', default: '8000' },
  'admin-host': { type: 'string', default: '0.0.0.0' },
  'admin-port': { type: 'string', default: '9090' },
  'drain-delay-seconds': { type: 'string', default: '5' },
  'api-keys': { type: 'string' },
  'tls-cert': { type: 'string' },
  'tls-key': { type: 'string' },
  'otlp-endpoint': { type: 'string' },
  'bundle-cache': { type: 'string' },
  'hf-endpoint': { type: 'string' },
  'hf-token-file': { type: 'string' },
  ...s3Flags,
  help: { type: 'boolean' },
} as const;

/** Of one run of the router network: it is to have one core beside the SLM's server. */
const networkThreads = 1;

type Flags = ReturnType<typeof parseFlags>;

/** `r2r router`: serves until SIGTERM or SIGINT, then drains and ends the process. */
export async function router(argv: readonly string[]): Promise<void> {
  const values = parseFlags(argv);
  if (values.help) {
    console.log(usage);
    return;
  }
  const log = pino({ name: 'r2r-router' });
  const metrics = new RouterMetrics();
  collectDefaultMetrics({ register: metrics.registry });
  const running = await startRouter({
    slmUrl: required(values, 'slm-url'),
    slmModelPath: required(values, 'slm-model-path'),
    llmModelPath: required(values, 'llm-model-path'),
    ...sources(values, log),
    client: clientSide(values),
    tracer: tracer(values, process.env, log),
    networkFingerprint,
    loadNetwork: networkLoader({
      slmFolder: required(values, 'slm-model-path'),
      cacheFolder: resolve(values['bundle-cache'] ?? join(tmpdir(), 'r2r-bundles')),
      hub: hubSettings(values, process.env),
      s3: s3Settings(values, process.env),
      threads: networkThreads,
      log,
    }),
    log,
    metrics,
    host: values.host,
    port: wholeNumber(values, 'port'),
    adminHost: values['admin-host'],
    adminPort: wholeNumber(values, 'admin-port'),
    drainDelayMs: wholeNumber(values, 'drain-delay-seconds') * 1000,
  });
  const stop = (): void => {
    running.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'stopping failed');
        process.exit(1);
      },
    );
  };
  process.once('SIGTERM', stop).once('SIGINT', stop);
}

/** Where the live configuration and the LLM's endpoints come from. */
function sources(values: Flags, log: Logger): { readonly config: ConfigSource; readonly endpoints: EndpointSource } {
  if (values['config-map'] !== undefined) {
    const namespace = required(values, 'namespace');
    const { config, llmEndpoints } = clusterSources({ namespace, configMap: values['config-map'], logger: log });
    const [llmUrl] = values['llm-url'] ?? [];
    const launcher = values['launcher-url'];
    if (llmUrl !== undefined && launcher !== undefined) return { config, endpoints: launcherEndpoints(llmUrl, launcher) };
    return { config, endpoints: llmEndpoints(required(values, 'llm-service')) };
  }
  return {
    config: configFile(required(values, 'config'), (err) => log.warn({ err }, 'configuration file cannot be read')),
    endpoints: fixedEndpoints(values['llm-url'] ?? []),
  };
}

/** Who may come in, and over what. */
function clientSide(values: Flags): NonNullable<RouterOptions['client']> {
  const { 'api-keys': apiKeysPath, 'tls-cert': certPath, 'tls-key': keyPath } = values;
  if ((certPath === undefined) !== (keyPath === undefined)) throw new Error('--tls-cert and --tls-key go together: give both or none');
  return {
    warm: true,
    ...(apiKeysPath !== undefined && { apiKeysPath }),
    ...(certPath !== undefined && keyPath !== undefined && { tls: { certPath, keyPath } }),
  };
}

/** Where traces go: OpenTelemetry's own variables name the receiver, what it wants to be told with each batch, and this service. */
function tracer(values: Flags, environment: NodeJS.ProcessEnv, log: Logger): Tracer {
  const endpoint = values['otlp-endpoint'] ?? environment['OTEL_EXPORTER_OTLP_ENDPOINT'];
  if (endpoint === undefined || endpoint === '') return noTracer;
  if (!URL.canParse(endpoint)) throw new Error(`--otlp-endpoint must be a URL, not "${endpoint}"`);
  const headers = pairs(environment['OTEL_EXPORTER_OTLP_HEADERS']);
  const resource = { 'service.name': environment['OTEL_SERVICE_NAME'] ?? 'r2r-router', ...pairs(environment['OTEL_RESOURCE_ATTRIBUTES']) };
  return new OtlpTracer({ endpoint, headers, resource, log });
}

/** `a=1,b=2`, with values % escaped, as OpenTelemetry's variables have it. */
function pairs(text = ''): Readonly<Record<string, string>> {
  const entries = text.split(',').map((pair) => pair.split('='));
  return Object.fromEntries(
    entries.flatMap(([name = '', ...value]) => (name.trim() === '' ? [] : [[name.trim(), decodeURIComponent(value.join('=').trim())]])),
  );
}

function parseFlags(argv: readonly string[]) {
  return parseArgs({ args: [...argv], options: flags }).values;
}

function required(values: Flags, flag: 'slm-url' | 'slm-model-path' | 'llm-model-path' | 'config' | 'namespace' | 'llm-service'): string {
  const value = values[flag];
  if (value === undefined || value === '') throw new Error(`--${flag} is missing\n\n${usage}`);
  return value;
}

function wholeNumber(values: Flags, flag: 'port' | 'admin-port' | 'drain-delay-seconds'): number {
  const value = Number(values[flag]);
  if (!Number.isInteger(value) || value < 0) throw new Error(`--${flag} must be a whole number, not "${values[flag]}"`);
  return value;
}
