import type { Request, RequestHandler, Response } from 'express';
import type { RouterConfig } from '../api/router-config.ts';
import { readChatRequest, type ChatRequest } from './chat-request.ts';
import { chatCompletion, finalChunks, roleChunk, stepChunk, type ResponseHead, type Totals } from './chat-response.ts';
import { ApiError } from './errors.ts';
import { generate, routingOf, type GenerationEnd, type GenerationStep, type Serving } from './generation.ts';
import type { RouterMetrics } from './metrics.ts';
import { makePrompt } from './prompt.ts';
import { EventStream } from './sse.ts';
import { tokenSources } from './token.ts';

export interface ChatOptions {
  /** What to serve with, now. @throws ApiError `not_ready` */
  readonly serving: () => { readonly serving: Serving; readonly config: RouterConfig };
  readonly metrics: RouterMetrics;
}

/** `POST /v1/chat/completions`, streaming and not. */
export function chatHandler({ serving: current, metrics }: ChatOptions): RequestHandler {
  return async (httpRequest: Request, response: Response) => {
    const request = readChatRequest(httpRequest.body);
    // One snapshot for the whole request: a changed configuration applies from the next request on.
    const { serving, config } = current();
    if (request.model !== config.modelName)
      throw new ApiError('model_not_found', `the model "${request.model}" does not exist; this router serves "${config.modelName}"`, {
        param: 'model',
      });
    const prompt = makePrompt(request, serving, httpRequest.get('x-r2r-conversation'));
    const client = new AbortController();
    const leave = (): void => {
      if (!response.writableFinished) client.abort(new DOMException('the client left', 'AbortError'));
    };
    response.once('close', leave);
    if (response.closed) leave();
    const head: ResponseHead = {
      id: `chatcmpl-${response.getHeader('x-request-id')?.toString() ?? ''}`,
      created: Math.floor(Date.now() / 1000),
      model: config.modelName,
    };
    const counts = { slm: 0, llm: 0, fallback: 0 };
    const count = (step: GenerationStep): void => {
      for (const { source } of step.tokens) counts[source]++;
      for (const source of tokenSources) metrics.token(source, step.tokens.filter((token) => token.source === source).length);
    };
    const totals = (end: GenerationEnd): Totals => ({
      end,
      promptTokens: prompt.ids.length,
      counts,
      routing: routingOf(request, config),
    });
    const steps = generate(serving, config, request, prompt, client.signal);
    if (request.stream) await stream(new EventStream(response, client.signal), head, request, steps, count, totals);
    else {
      const all: GenerationStep[] = [];
      const end = await each(steps, (step) => {
        count(step);
        all.push(step);
      });
      response.json(chatCompletion(head, request, all, totals(end)));
    }
  };
}

type Steps = AsyncGenerator<GenerationStep, GenerationEnd, void>;

async function each(steps: Steps, handle: (step: GenerationStep) => Promise<void> | void): Promise<GenerationEnd> {
  try {
    for (;;) {
      const next = await steps.next();
      if (next.done) return next.value;
      await handle(next.value);
    }
  } finally {
    await steps.return({ finish: 'stop', reasoningTokens: 0 });
  }
}

/** Sends the answer as it comes. Nothing goes out before the first step, so that a failure up to there still has its own HTTP status. */
async function stream(
  events: EventStream,
  head: ResponseHead,
  request: ChatRequest,
  steps: Steps,
  count: (step: GenerationStep) => void,
  totals: (end: GenerationEnd) => Totals,
): Promise<void> {
  let begun = false;
  const begin = async (): Promise<void> => {
    if (!begun) await events.send(roleChunk(head, request));
    begun = true;
  };
  const end = await each(steps, async (step) => {
    count(step);
    await begin();
    const chunk = stepChunk(head, request, step);
    if (chunk) await events.send(chunk);
  });
  await begin();
  for (const chunk of finalChunks(head, request, totals(end))) await events.send(chunk);
  await events.done();
}
