/** The metrics pages that Prometheus would see: of a real operator, of a real router, of a step of the pipeline. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { request } from 'undici';
import { startStatusServer } from '../../src/cli/pipeline-status-server.ts';
import { makeCaches } from '../../src/controllers/caches.ts';
import { addR2RDeploymentController } from '../../src/controllers/r2rdeployment-controller.ts';
import { addR2RRouterController, progressClient } from '../../src/controllers/router/index.ts';
import { routerClient } from '../../src/controllers/router-client.ts';
import { EventRecorder, KubeClient, KubeMetrics, Manager, silentLogger } from '../../src/kube/index.ts';
import { RouterMetrics } from '../../src/router/metrics.ts';
import { apiServer } from '../api/api-server.ts';
import { controlPlane } from '../cluster/control-plane.ts';
import { readyStage, say, until } from '../router/stage.ts';

/** Names of series, with the labels that they may have. */
export type Series = ReadonlyMap<string, ReadonlySet<string>>;

export interface Scraped {
  readonly operator: Series;
  readonly router: Series;
  readonly pipeline: Series;
}

export async function scraped(): Promise<Scraped> {
  const [operator, router, pipeline] = [await operatorSeries(), await routerSeries(), await pipelineSeries()];
  return { operator, router, pipeline };
}

/** Of `r2r operator` as a process against the test API server, once it leads. */
async function operatorSeries(): Promise<Series> {
  const server = await apiServer();
  const namespace = await server.namespace('monitored');
  await server.close();
  const port = await freePort();
  const program = join(import.meta.dirname, '../../src/cli/main.ts');
  const args = ['operator', '--namespace', namespace, '--metrics-port', String(port), '--health-port', '0', '--log-level', 'error'];
  const operator: ChildProcess = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, KUBECONFIG: (await controlPlane()).kubeconfigFile },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let page = '';
  try {
    await until(
      async () => {
        page = await text(`http://127.0.0.1:${port}/metrics`).catch(() => '');
        return /^leader_election_master_status\{.*\} 1$/m.test(page);
      },
      'the operator leads',
      100_000,
    );
  } finally {
    operator.kill('SIGTERM');
    await once(operator, 'exit');
  }
  return seriesOf(page, await operatorRegistry());
}

/** Every metric of an operator with its labels, wired as src/cli/operator.ts does: what nothing has raised yet is on the page without them. */
async function operatorRegistry(): Promise<Registry> {
  const registry = new Registry();
  const metrics = new KubeMetrics(registry);
  const client = KubeClient.fromConfig((await controlPlane()).kubeConfig(), { fieldManager: 'unused' });
  const [routers, progress] = [routerClient(), progressClient()];
  const manager = new Manager({ client });
  const recorder = new EventRecorder(client, { controller: 'r2r.dev/operator', instance: 'unused' });
  const render = { routerImage: 'r', trainerImage: 't', operatorNamespace: 'r2r-system' };
  const shared = { client, recorder, logger: silentLogger, metrics, registry, concurrency: 1, render, caches: makeCaches(manager) };
  // added and never run
  addR2RDeploymentController(manager, { ...shared, routers });
  addR2RRouterController(manager, { ...shared, progress });
  await Promise.all([routers.close(), progress.close(), client.close()]);
  return registry;
}

/** Of a router between scripted model servers, after a request. */
async function routerSeries(): Promise<Series> {
  const metrics = new RouterMetrics();
  // as src/cli/router.ts does
  collectDefaultMetrics({ register: metrics.registry });
  const stage = await readyStage({ lines: [...say('a'), { id: 98, unsure: true, llm: 99 }, ...say('c')], router: { metrics } });
  try {
    const body = JSON.stringify({ model: 'pair', messages: [{ role: 'user', content: 'say' }], max_tokens: 8 });
    const answer = await request(`${stage.router.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    await answer.body.text();
    return seriesOf(await text(`${stage.router.adminUrl}/metrics`), metrics.registry);
  } finally {
    await stage.close();
  }
}

async function pipelineSeries(): Promise<Series> {
  const report = {
    ...{
      step: 'respond',
      hash: '1',
      shard: { index: 0, count: 1 },
      unit: 'questions',
      done: 3,
      total: 9,
      resumed: 1,
      perSecond: 1,
      etaSeconds: 6,
    },
    ...{
      tokens: 100,
      tokensPerSecond: 10,
      callsInFlight: 2,
      engineUtilisation: 0.5,
      partsDone: 1,
      partsTotal: 3,
      counts: {},
      startedSecondsAgo: 1,
    },
  };
  const server = await startStatusServer(0, () => report);
  try {
    return seriesOf(await text(`${server.url}/metrics`), new Registry());
  } finally {
    server.close();
  }
}

async function text(url: string): Promise<string> {
  return (await request(url)).body.text();
}

/** @param registry - knows the labels of what has no sample yet */
function seriesOf(page: string, registry: Registry): Series {
  const series = new Map<string, Set<string>>();
  const add = (name: string, labels: readonly string[]): void => {
    series.set(name, new Set([...(series.get(name) ?? []), ...labels]));
  };
  for (const [, name = '', type] of page.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    const metric = registry.getSingleMetric(name) as unknown as { readonly labelNames?: readonly string[] } | undefined;
    const labels = metric?.labelNames ?? [];
    if (type !== 'histogram') add(name, labels);
    else for (const suffix of ['bucket', 'sum', 'count']) add(`${name}_${suffix}`, suffix === 'bucket' ? [...labels, 'le'] : labels);
  }
  for (const [, name = '', inner = ''] of page.matchAll(/^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/gm))
    add(
      name,
      [...inner.matchAll(/([a-zA-Z_]\w*)="/g)].map(([, label = '']) => label),
    );
  return series;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
