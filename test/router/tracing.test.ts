import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { OtlpTracer } from '../../src/router/index.ts';
import { readTraceparent } from '../../src/router/tracing/trace-context.ts';
import { ask, post } from './chat-client.ts';
import { quietLog, readyStage, say, until, type Stage } from './stage.ts';

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
  readonly status?: { readonly code: number; readonly message: string };
}

interface Batch {
  readonly resourceSpans: readonly {
    readonly resource: Pick<Span, 'attributes'>;
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
  }[];
}

/** An OpenTelemetry receiver that keeps what it gets. */
class Receiver {
  readonly batches: Batch[] = [];
  readonly paths: string[] = [];
  status = 200;
  /** Never answers. */
  silent = false;
  #server: Server | undefined;

  async start(): Promise<string> {
    this.#server = createServer((request, response) => void this.#handle(request, response));
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    assert.ok(typeof address === 'object' && address);
    return `http://127.0.0.1:${address.port}`;
  }

  get spans(): readonly Span[] {
    return this.batches.flatMap(({ resourceSpans }) => resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans)));
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    this.#server?.close();
    await Promise.resolve();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    this.paths.push(`${request.method} ${request.url} ${request.headers['content-type']} ${request.headers['x-team'] as string}`);
    if (this.silent) return;
    if (this.status === 200) this.batches.push(JSON.parse(text) as Batch);
    response.writeHead(this.status).end('{}');
  }
}

const attribute = ({ attributes }: Pick<Span, 'attributes'>, key: string): unknown =>
  Object.values(attributes.find((each) => each.key === key)?.value ?? {})[0];

describe('traces', function () {
  this.timeout(60_000);
  let receiver: Receiver;
  let tracer: OtlpTracer;
  let made: Stage;
  const on = async (options: Partial<ConstructorParameters<typeof OtlpTracer>[0]> = {}): Promise<void> => {
    receiver = new Receiver();
    const endpoint = await receiver.start();
    const resource = { 'service.name': 'test' };
    tracer = new OtlpTracer({ endpoint, resource, headers: { 'x-team': 'r2r' }, log: quietLog, everyMs: 50, ...options });
    const lines = say('abcdefgh').map((line, index) => (index === 3 ? { ...line, unsure: true } : line));
    made = await readyStage({ lines, router: { tracer } });
  };
  afterEach(async () => {
    await made.close();
    await receiver.stop();
  });
  const root = (): Span | undefined => receiver.spans.find(({ kind }) => kind === 2);

  it("show a request's parts under its own span, which continues the caller's trace", async () => {
    await on();
    const [traceId, parent] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];
    const before = Date.now();
    const response = await post(
      made.router.url,
      { ...ask, temperature: 0 },
      { headers: { traceparent: `00-${traceId}-${parent}-01`, 'x-request-id': 'mine' } },
    );
    assert.equal(response.status, 200);
    await until(() => root() !== undefined, 'the trace arrived');
    const request = root()!;
    assert.deepEqual([request.traceId, request.parentSpanId, request.name, request.status], [traceId, parent, 'chat', undefined]);
    assert.match(request.spanId, /^[0-9a-f]{16}$/);
    assert.equal(attribute(request, 'gen_ai.request.model'), 'pair');
    assert.equal(attribute(request, 'gen_ai.usage.output_tokens'), '9');
    assert.equal(attribute(request, 'r2r.llm_ratio'), 1 / 9);
    assert.equal(attribute(request, 'r2r.request_id'), 'mine');
    const children = receiver.spans.filter(({ kind }) => kind === 1);
    for (const name of ['prompt', 'queue', 'draft', 'score', 'consult'])
      assert.ok(
        children.some((span) => span.name === name),
        name,
      );
    for (const child of children) {
      assert.deepEqual([child.traceId, child.parentSpanId], [traceId, request.spanId]);
      assert.ok(BigInt(child.startTimeUnixNano) <= BigInt(child.endTimeUnixNano));
      assert.ok(
        BigInt(child.startTimeUnixNano) >= BigInt(request.startTimeUnixNano) &&
          BigInt(child.endTimeUnixNano) <= BigInt(request.endTimeUnixNano),
      );
    }
    const startMs = Number(BigInt(request.startTimeUnixNano) / 1_000_000n);
    assert.ok(startMs >= before - 1_000 && startMs <= Date.now() + 1_000);
    assert.equal(receiver.paths[0], 'POST /v1/traces application/json r2r');
    assert.equal(attribute(receiver.batches[0]!.resourceSpans[0]!.resource, 'service.name'), 'test');
  });

  it('are left out where the caller does not sample, and begun anew without a caller or with a broken one', async () => {
    await on();
    await post(made.router.url, ask, { headers: { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00' } });
    await post(made.router.url, ask, { headers: { traceparent: 'nonsense' } });
    await post(made.router.url, ask);
    await until(() => receiver.spans.filter(({ kind }) => kind === 2).length === 2, 'two traces arrived');
    const roots = receiver.spans.filter(({ kind }) => kind === 2);
    assert.equal(new Set(roots.map(({ traceId }) => traceId)).size, 2);
    for (const { traceId, parentSpanId } of roots) assert.deepEqual([traceId.length, parentSpanId], [32, undefined]);
  });

  it('say why a request failed', async () => {
    await on();
    assert.equal((await post(made.router.url, { ...ask, tools: [{}] })).status, 400);
    await until(() => root() !== undefined, 'the trace arrived');
    assert.equal(root()!.status?.code, 2);
    assert.match(root()!.status?.message ?? '', /tools is not supported/);
    assert.equal(attribute(root()!, 'error.type'), 'unsupported_parameter');
  });

  it('cost no request anything when the receiver refuses them or falls silent: they are dropped and counted', async () => {
    await on({ maxQueued: 20, maxBatch: 10, timeoutMs: 300, maxSteps: 2 });
    receiver.status = 503;
    await post(made.router.url, ask);
    await until(() => tracer.dropped >= 5, 'a refused batch is dropped');
    receiver.silent = true;
    for (let request = 0; request < 12; request++) assert.equal((await post(made.router.url, ask)).status, 200);
    await until(() => tracer.dropped >= 30, 'neither queue nor memory grows');
    receiver.silent = false;
    receiver.status = 200;
    await until(async () => (await post(made.router.url, ask), root() !== undefined), 'traces arrive again');
    const steps = receiver.spans.filter(({ name, parentSpanId }) => parentSpanId === root()!.spanId && !['prompt', 'queue'].includes(name));
    assert.ok(steps.length <= 2, 'only so many steps have spans of their own');
  });
});

describe('a traceparent header', () => {
  const [traceId, spanId] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];
  it('is read as W3C Trace Context says', () => {
    assert.deepEqual(readTraceparent(`00-${traceId}-${spanId}-01`), { traceId, spanId, sampled: true });
    assert.deepEqual(readTraceparent(`00-${traceId}-${spanId}-00`), { traceId, spanId, sampled: false });
    assert.deepEqual(readTraceparent(`cc-${traceId}-${spanId}-03-more`), { traceId, spanId, sampled: true }, 'a later version');
  });
  for (const header of [
    undefined,
    '',
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}`,
  ])
    it(`is ignored when it is ${header}`, () => assert.equal(readTraceparent(header), undefined));
});
