import { createServer, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { Counter, Gauge, Registry } from 'prom-client';
import type { ProgressReport } from '../pipeline/progress.ts';
import { UsageError } from './command.ts';

/** What a step's pod tells the operator and monitoring while it runs. */
export interface StatusServer {
  readonly url: string;
  close(): void;
}

/** @param port 0 takes a free one. @throws UsageError when it is taken */
export async function startStatusServer(port: number, report: () => ProgressReport): Promise<StatusServer> {
  const registry = progressMetrics(report);
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://status');
    if (request.method !== 'GET') answer(response, 405, 'text/plain', 'only GET\n');
    else if (pathname === '/healthz') answer(response, 200, 'text/plain', 'ok\n');
    else if (pathname === '/progress') answer(response, 200, 'application/json', JSON.stringify(report()));
    else if (pathname === '/metrics')
      void registry.metrics().then((text) => {
        answer(response, 200, registry.contentType, text);
      });
    else answer(response, 404, 'text/plain', 'there are /progress, /metrics and /healthz\n');
  });
  await listening(server, port);
  const address = server.address();
  const bound = typeof address === 'object' && address ? address.port : port;
  return {
    url: `http://127.0.0.1:${bound}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function listening(server: Server, port: number): Promise<void> {
  server.listen(port, '0.0.0.0');
  try {
    await once(server, 'listening');
  } catch (cause) {
    throw new UsageError(
      `--status-port ${port} cannot be used (${cause instanceof Error ? cause.message : String(cause)}); 0 takes a free one`,
      {
        cause,
      },
    );
  }
}

function answer(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type }).end(text);
}

/** Numbers of the step that runs, as they are when they are asked for. */
function progressMetrics(report: () => ProgressReport): Registry {
  const registry = new Registry();
  const labelNames = ['step', 'shard'] as const;
  const gauges: Readonly<Record<string, readonly [help: string, value: (of: ProgressReport) => number]>> = {
    done: ['Units of the step that this shard has done', ({ done }) => done],
    total: ['Units of the step that are this shard’s', ({ total }) => total],
    resumed: ['Units that were found done when the process began', ({ resumed }) => resumed],
    per_second: ['Units a second, over the last minutes', ({ perSecond }) => perSecond],
    tokens_per_second: ['Generated or read tokens a second, over the last minutes', ({ tokensPerSecond }) => tokensPerSecond],
    calls_in_flight: ['Calls to model servers that have not ended', ({ callsInFlight }) => callsInFlight],
    engine_utilisation: ['Time average of calls in flight over concurrency', ({ engineUtilisation }) => engineUtilisation],
    parts_done: ['Parts of the output that are finished', ({ partsDone }) => partsDone],
    parts_total: ['Parts of the output that are this shard’s', ({ partsTotal }) => partsTotal],
  };
  for (const [name, [help, value]] of Object.entries(gauges)) {
    const gauge = new Gauge({
      name: `r2r_pipeline_${name}`,
      help,
      labelNames,
      registers: [registry],
      collect() {
        const now = report();
        gauge.reset();
        gauge.set(labelsOf(now), value(now));
      },
    });
  }
  const tokens = new Counter({
    name: 'r2r_pipeline_tokens_total',
    help: 'Generated or read tokens',
    labelNames,
    registers: [registry],
    collect() {
      const now = report();
      tokens.reset();
      tokens.inc(labelsOf(now), now.tokens);
    },
  });
  return registry;
}

const labelsOf = ({ step, shard }: ProgressReport): Record<'step' | 'shard', string> => ({ step, shard: String(shard.index) });
