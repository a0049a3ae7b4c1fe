import express, { type Express } from 'express';
import type { Registry } from 'prom-client';
import { benchmarkRequestSchema, type BenchmarkAnswer, type BenchmarkRequest } from '../api/router-work.ts';
import { probeRequestSchema, type ProbeAnswer, type RouterStatus } from '../api/router-status.ts';
import { probeRoutes } from './api.ts';
import type { Readiness } from './readiness.ts';

export interface AdminOptions {
  readonly registry: Registry;
  readonly status: () => RouterStatus;
  readonly readiness: () => Readiness;
  /** One token end to end. @param viaLLM supplied by the LLM; else by the SLM */
  readonly probe: (viaLLM: boolean, signal: AbortSignal) => Promise<ProbeAnswer>;
  /** What one LLM replica can do. Rejects only when the signal aborts. */
  readonly benchmark: (request: BenchmarkRequest, signal: AbortSignal) => Promise<BenchmarkAnswer>;
}

/** The routes for the operator and for monitoring, on a port of their own. */
export function adminApi({ registry, status, readiness, probe, benchmark }: AdminOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(probeRoutes(readiness));
  app.get('/metrics', async (_, response) => {
    response.setHeader('content-type', registry.contentType);
    response.end(await registry.metrics());
  });
  app.get('/r2r/status', (_, response) => void response.json(status()));
  app.post('/r2r/probe', express.json({ type: () => true, limit: 1024 }), async (request, response) => {
    const body = probeRequestSchema.safeParse(request.body);
    if (!body.success) {
      response.status(400).json({ ok: false, message: 'the body must be {"viaLLM": true} or {"viaLLM": false}' } satisfies ProbeAnswer);
      return;
    }
    const client = new AbortController();
    response.once('close', () => client.abort());
    const answer = await probe(body.data.viaLLM, client.signal);
    response.status(answer.ok ? 200 : 503).json(answer);
  });
  app.post('/r2r/benchmark', express.json({ type: () => true, limit: 1024 }), async (request, response) => {
    const body = benchmarkRequestSchema.safeParse(request.body);
    if (!body.success) {
      response
        .status(400)
        .json({ message: 'the body must be {"seconds": 1 to 60, "latencyTargetMs": 1 or more}' } satisfies BenchmarkAnswer);
      return;
    }
    const client = new AbortController();
    response.once('close', () => client.abort());
    const answer = await benchmark(body.data, client.signal).catch((): BenchmarkAnswer => ({ message: 'nobody waits for it any more' }));
    response.status(answer.callsPerSecond === undefined ? 409 : 200).json(answer);
  });
  return app;
}
