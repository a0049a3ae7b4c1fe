import express, { type Express } from 'express';
import type { Registry } from 'prom-client';
import type { RouterStatus } from '../api/router-status.ts';
import { probeRoutes } from './api.ts';
import type { Readiness } from './readiness.ts';

export interface AdminOptions {
  readonly registry: Registry;
  readonly status: () => RouterStatus;
  readonly readiness: () => Readiness;
}

/** The routes for the operator and for monitoring, on a port of their own. */
export function adminApi({ registry, status, readiness }: AdminOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.use(probeRoutes(readiness));
  app.get('/metrics', async (_, response) => {
    response.setHeader('content-type', registry.contentType);
    response.end(await registry.metrics());
  });
  app.get('/r2r/status', (_, response) => void response.json(status()));
  return app;
}
