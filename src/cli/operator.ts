import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { addR2RDeploymentController } from '../controllers/r2rdeployment-controller.ts';
import { makeCaches } from '../controllers/caches.ts';
import { addR2RRouterController, progressClient } from '../controllers/router/index.ts';
import { routerClient } from '../controllers/router-client.ts';
import { EventRecorder, KubeMetrics, Manager } from '../kube/index.ts';
import type { KubeClient } from '../kube/index.ts';
import { operatorClient } from './operator-client.ts';
import { packageVersion } from './version.ts';

const usage = `usage: r2r operator [flags]

  --namespace NAME      namespace of the leader election lease   (default: $POD_NAMESPACE, else "default")
  --router-image IMAGE  image of routers and CPU engines         (default: ghcr.io/r2r-kubernetes/router at this version)
  --trainer-image IMAGE image of training Jobs                   (default: ghcr.io/r2r-kubernetes/trainer at this version)
  --sglang-image IMAGE  image of SGLang engines                  (default: the stock release this version was tested with)
  --health-port PORT    /healthz and /readyz                     (default: 8081)
  --metrics-port PORT   /metrics, Prometheus format              (default: 8080)
  --concurrency N       deployments, and routers, reconciled at the same time (default: 16)
  --leader-elect BOOL   run with other replicas                  (default: true)
  --log-level LEVEL     debug, info, warn, error                 (default: info)
`;

/** Oldest minor version of Kubernetes 1 with everything the pods need: native sidecars on by default. */
const oldestMinor = 29;

/** Runs the operator until SIGTERM or SIGINT. Throws (exit 1) when the cluster is too old, unreachable, or leadership is lost. */
export async function operator(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      namespace: { type: 'string', default: process.env.POD_NAMESPACE ?? 'default' },
      'router-image': { type: 'string', default: `ghcr.io/r2r-kubernetes/router:${packageVersion()}` },
      'trainer-image': { type: 'string', default: `ghcr.io/r2r-kubernetes/trainer:${packageVersion()}` },
      'sglang-image': { type: 'string' },
      'health-port': { type: 'string', default: '8081' },
      'metrics-port': { type: 'string', default: '8080' },
      concurrency: { type: 'string', default: '16' },
      'leader-elect': { type: 'string', default: 'true' },
      'log-level': { type: 'string', default: 'info' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void process.stdout.write(usage);
  const concurrency = numberFlag('concurrency', values.concurrency, 1, 64);

  const logger = pino({ level: values['log-level'] });
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const metrics = new KubeMetrics(registry);
  const client = await operatorClient({
    fieldManager: 'r2r-operator',
    userAgent: `r2r-operator/${packageVersion()}`,
    logger,
    metrics,
  });
  await assertSupported(client);

  const instance = process.env.POD_NAME ?? hostname();
  const manager = new Manager({
    client,
    logger,
    metrics,
    ...(values['leader-elect'] !== 'false' && {
      election: { namespace: values.namespace, name: 'r2r-operator', identity: `${instance}_${randomUUID().slice(0, 8)}` },
    }),
  });
  const recorder = new EventRecorder(client, { controller: 'r2r.dev/operator', instance, logger, metrics });
  const routers = routerClient();
  const progress = progressClient();
  const render = {
    routerImage: values['router-image'],
    trainerImage: values['trainer-image'],
    ...(values['sglang-image'] !== undefined && { sglangImage: values['sglang-image'] }),
    operatorNamespace: values.namespace,
  };
  const shared = { client, recorder, logger, metrics, registry, concurrency, render, caches: makeCaches(manager) };
  addR2RDeploymentController(manager, { ...shared, routers, progress });
  addR2RRouterController(manager, { ...shared, progress });

  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort(new Error(`received ${signal}`)));
  const servers = [
    serve(numberFlag('health-port', values['health-port'], 0, 65_535), {
      '/healthz': () => ({ status: manager.problem === undefined ? 200 : 500, body: manager.problem ?? 'ok' }),
      '/readyz': () => ({ status: manager.ready ? 200 : 503, body: manager.ready ? 'ok' : 'caches are not filled yet' }),
    }),
    serve(numberFlag('metrics-port', values['metrics-port'], 0, 65_535), {
      '/metrics': async () => ({ status: 200, body: await registry.metrics(), type: registry.contentType }),
    }),
  ];
  logger.info({ version: packageVersion(), instance }, 'operator starts');
  try {
    await manager.run(stop.signal);
  } finally {
    await recorder.flush();
    await Promise.all([routers.close(), progress.close()]);
    for (const server of servers) server.close();
    await client.close();
  }
  logger.info({}, 'operator has stopped');
}

interface Page {
  readonly status: number;
  readonly body: string;
  readonly type?: string;
}

function serve(port: number, pages: Readonly<Record<string, () => Page | Promise<Page>>>): Server {
  const server = createServer((request, response) => {
    const page = pages[(request.url ?? '').split('?')[0] ?? ''];
    void Promise.resolve(page?.() ?? { status: 404, body: `only ${Object.keys(pages).join(', ')} are here` }).then(
      ({ status, body, type }: Page) =>
        response.writeHead(status, { 'content-type': type ?? 'text/plain; charset=utf-8' }).end(`${body}\n`),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  return server.listen(port);
}

async function assertSupported(client: KubeClient): Promise<void> {
  const { gitVersion = 'unknown' } = JSON.parse(await client.raw({ path: '/version' })) as { gitVersion?: string };
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(gitVersion) ?? [];
  if (Number(major) === 1 && Number(minor) < oldestMinor) {
    throw new Error(`this cluster runs Kubernetes ${gitVersion}; r2r needs 1.${oldestMinor} or newer (native sidecar containers)`);
  }
}

function numberFlag(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max)
    throw new Error(`--${name} must be an integer from ${min} to ${max}, not "${text}"`);
  return value;
}
