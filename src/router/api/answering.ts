import { randomInt } from 'node:crypto';
import type { Request, RequestHandler, Response } from 'express';
import type { RouterConfig } from '../../api/router-config.ts';
import { ApiError } from '../errors.ts';
import { generate, type GenerationStep, type Serving } from '../generation.ts';
import { merged } from '../merged.ts';
import type { RouterMetrics } from '../metrics.ts';
import { routingOf } from '../routing.ts';
import { tokenSources } from '../token.ts';
import type { Tracer } from '../tracing/tracer.ts';
import type { Admission } from './admission.ts';
import { ChoiceTotals, llmRatio, summed, type AnswerContext, type AnswerWriter } from './answer.ts';
import { chatWriter } from './chat-answer.ts';
import { completionsWriter } from './completions-answer.ts';
import { generateWriter } from './generate-answer.ts';
import type { Prepared, Route } from './preparation.ts';
import type { Preparer } from './preparer.ts';
import { EventStream } from './sse.ts';

export interface AnsweringOptions {
  /** What to serve with, now. @throws ApiError `not_ready` */
  readonly serving: () => { readonly serving: Serving; readonly config: RouterConfig };
  readonly metrics: RouterMetrics;
  readonly preparer: Preparer;
  readonly admission: Admission;
  readonly tracer: Tracer;
}

const writers = { chat: chatWriter, completions: completionsWriter, generate: generateWriter } as const;
const idPrefixes = { chat: 'chatcmpl-', completions: 'cmpl-', generate: '' } as const;

/** Answers requests of one route, streaming and not. Their bodies have been read; `response.locals.arrivedMs` says when they came. */
export function answerHandler(route: Route, options: AnsweringOptions): RequestHandler {
  return async (httpRequest: Request, response: Response) => {
    const { arrivedMs } = response.locals as { readonly arrivedMs: number };
    const { maxChoices, requestTimeoutSeconds } = options.serving().config.limits;
    const requestId = response.getHeader('x-request-id')?.toString() ?? '';
    const span = options.tracer.start(route, httpRequest.get('traceparent'), { 'r2r.request_id': requestId });
    using life = new RequestLife(response, arrivedMs, requestTimeoutSeconds);
    try {
      const prepared = await span.during('prompt', () => {
        const { serving, config } = options.serving();
        return options.preparer.prepare(route, httpRequest.body as Uint8Array, {
          modelName: config.modelName,
          maxChoices,
          contextLength: serving.contextLength(),
          validIds: serving.validIds,
          randomSeed: randomInt(2 ** 32),
          conversation: httpRequest.get('x-r2r-conversation'),
        });
      });
      const release = await span.during('queue', () => options.admission.enter(life.signal));
      try {
        // What is in force when its turn comes, which is one snapshot for the whole answer: a change applies from the next one on.
        const { serving, config } = options.serving();
        const context: AnswerContext = {
          head: { id: idPrefixes[route] + requestId, created: Math.floor(Date.now() / 1000), model: config.modelName },
          request: prepared,
          routing: routingOf(prepared, config, serving.loaded),
          tokenizer: serving.tokenizer,
          endIds: serving.endIds,
        };
        const observed = { ...serving, observer: span.observing(serving.observer) };
        const steps = allSteps(prepared, life.signal, (prompt, signal) => generate(observed, config, prepared, prompt, signal));
        const totals = Array.from({ length: prepared.prompts.length * prepared.choices }, () => new ChoiceTotals());
        const writer = writers[route](context);
        if (prepared.stream) await stream(new EventStream(response, life.signal), writer, prepared, steps, totals, options.metrics);
        else response.json(await whole(writer, steps, totals, options.metrics));
        const counts = summed(totals);
        span.describe({
          'gen_ai.operation.name': route === 'chat' ? 'chat' : 'text_completion',
          'gen_ai.request.model': config.modelName,
          'gen_ai.request.temperature': prepared.sampling.temperature,
          'gen_ai.usage.input_tokens': prepared.prompts.reduce((total, { ids }) => total + ids.length, 0),
          'gen_ai.usage.output_tokens': counts.slm + counts.llm + counts.fallback,
          'r2r.strategy': context.routing.name,
          'r2r.llm_ratio': llmRatio(counts),
          'r2r.tokens.fallback': counts.fallback,
        });
      } finally {
        release();
      }
    } catch (error) {
      const failure = life.reasonFor(error);
      span.fail(failure);
      throw failure;
    } finally {
      span.end();
    }
  };
}

/** A request ends when its client leaves or its time is up. */
class RequestLife implements Disposable {
  readonly #end = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #reason: Error | undefined;

  /** @param arrivedMs of performance.now's clock */
  constructor(response: Response, arrivedMs: number, timeoutSeconds: number) {
    const leave = (): void => {
      if (!response.writableFinished) this.#cut(new DOMException('the client left', 'AbortError'));
    };
    response.once('close', leave);
    if (response.closed) leave();
    const timeout = (): void =>
      this.#cut(new ApiError('request_timeout', `the answer was not complete after ${timeoutSeconds} s, which is all a request gets`));
    // Longer ones than this would overflow Node's timers, and are no limit anyway.
    const leftMs = timeoutSeconds * 1000 - (performance.now() - arrivedMs);
    this.#timer = setTimeout(timeout, Math.min(Math.max(0, leftMs), 2 ** 31 - 1)).unref();
  }

  get signal(): AbortSignal {
    return this.#end.signal;
  }

  /** What ended the request early, which is why its steps fail; else the failure itself. */
  reasonFor(error: unknown): unknown {
    return this.#reason ?? error;
  }

  #cut(reason: Error): void {
    this.#reason ??= reason;
    this.#end.abort(reason);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

type Steps = AsyncGenerator<GenerationStep, void, void>;

type GeneratePrompt = (prompt: Prepared['prompts'][number], signal: AbortSignal) => Steps;

/** The steps of all prompts, with choices numbered through. */
function allSteps({ prompts, choices }: Prepared, signal: AbortSignal, generatePrompt: GeneratePrompt): Steps {
  const [only] = prompts;
  if (only && prompts.length === 1) return generatePrompt(only, signal);
  // What fails one prompt ends the others.
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  async function* numbered(prompt: Prepared['prompts'][number], index: number): Steps {
    for await (const step of generatePrompt(prompt, either)) yield { ...step, choice: index * choices + step.choice };
  }
  return merged(prompts.map(numbered), () => over.abort());
}

function count(step: GenerationStep, total: ChoiceTotals, metrics: RouterMetrics): void {
  total.add(step);
  for (const source of tokenSources) metrics.token(source, step.tokens.filter((token) => token.source === source).length);
}

async function whole(writer: AnswerWriter, steps: Steps, totals: readonly ChoiceTotals[], metrics: RouterMetrics): Promise<unknown> {
  const all: GenerationStep[][] = totals.map(() => []);
  for await (const step of steps) {
    const total = totals[step.choice];
    if (total) count(step, total, metrics);
    all[step.choice]?.push(step);
  }
  return writer.whole(all, totals);
}

/** Sends the answer as it comes. Nothing goes out before the first step, so that a failure up to there still has its own HTTP status. */
async function stream(
  events: EventStream,
  writer: AnswerWriter,
  request: Prepared,
  steps: Steps,
  totals: readonly ChoiceTotals[],
  metrics: RouterMetrics,
): Promise<void> {
  const begun = new Set<number>();
  for await (const step of steps) {
    const total = totals[step.choice];
    if (!total) continue;
    if (!begun.has(step.choice) && writer.begin) await events.send(writer.begin(step.choice));
    begun.add(step.choice);
    const event = writer.step(step.choice, step, total);
    count(step, total, metrics);
    if (event) await events.send(event);
    if (step.end) await events.send(writer.end(step.choice, total));
  }
  if (request.includeUsage) await events.send(writer.usage(totals));
  await events.done();
}
