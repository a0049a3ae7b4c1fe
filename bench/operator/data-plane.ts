/**
 * What the operator asks of routers, answered for all pods by one process: kwok's pods run nothing. It listens on every address, and in the
 * benchmark's network namespace all pods' addresses are this machine's. Argument: the digest of the configuration that every router is to
 * report. Prints `listening`.
 */
import { createServer } from 'node:http';
import { ports } from '../../src/api/names.ts';
import type { ProbeAnswer, RouterStatus } from '../../src/api/router-status.ts';

const [configDigest = ''] = process.argv.slice(2);
const none = { slm: 0, llm: 0, fallback: 0 };
const status: RouterStatus = {
  configDigest,
  strategy: 'neural',
  threshold: 0.5,
  bundle: { state: 'Serving', digest: '0'.repeat(64), precision: 'int8' },
  lookahead: 'Auto',
  alarms: [],
  waitingFor: [],
  inFlight: 0,
  tokensTotal: none,
  window: { seconds: 60, tokens: none, tokensPerSecond: 0, requests: { total: 0, failed: 0 } },
  llmCalls: { started: 0, wasted: 0 },
  parameters: { slm: 1_500_000_000, llm: 32_000_000_000, router: 56_000_000 },
  llmEndpoints: [{ podUID: '00000000-0000-0000-0000-000000000000', address: '10.64.0.1', ready: true, draining: false, inFlight: 0 }],
};
const probe: ProbeAnswer = { ok: true, sources: { slm: 0, llm: 1, fallback: 0 } };
const answers: Readonly<Record<string, string>> = { '/r2r/status': JSON.stringify(status), '/r2r/probe': JSON.stringify(probe) };

createServer((request, response) => {
  const body = answers[request.url ?? ''];
  request.resume();
  response.writeHead(body === undefined ? 404 : 200, { 'content-type': 'application/json' }).end(body);
}).listen(ports.admin, '0.0.0.0', 1024, () => console.log('listening'));
// the benchmark has ended, however it did
process.on('disconnect', () => process.exit());
