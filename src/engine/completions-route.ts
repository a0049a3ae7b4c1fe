import type { EngineContext } from './engine-context.ts';
import { newRequestId, planGenerate, type GeneratePlan } from './generate-request.ts';
import { runAll } from './generate-route.ts';
import type { Generation } from './generation.ts';
import { HttpError } from './http-error.ts';
import type { HttpExchange } from './http-exchange.ts';
import { throwIfFailed } from './native-answer.ts';
import { completionLogprobs, envelope, finishFields, lastHiddenState, metadata, usage } from './openai-answer.ts';
import { asOpenAiError, completionSchema, readBody, readOptions, samplingOf, type OpenAiOptions } from './openai-request.ts';
import type { JsonObject } from './json-object.ts';

interface CompletionOptions extends OpenAiOptions {
  readonly echo: boolean;
  readonly samples: number;
}

function plan(context: EngineContext, body: JsonObject, options: CompletionOptions): GeneratePlan {
  const { prompt, max_tokens: maxTokens, logprobs } = body;
  if (prompt === '' || (Array.isArray(prompt) && prompt.length === 0)) throw HttpError.openai('Prompt cannot be empty');
  if (typeof maxTokens === 'number' && maxTokens <= 0) throw HttpError.invalidBody('body.max_tokens: max_tokens must be positive');
  const isText = typeof prompt === 'string' || (Array.isArray(prompt) && typeof prompt[0] === 'string');
  const native: Record<string, unknown> = {
    [isText ? 'text' : 'input_ids']: prompt,
    sampling_params: samplingOf(body, {}, maxTokens ?? 16),
    stream: options.stream,
    return_logprob: typeof logprobs === 'number',
    top_logprobs_num: typeof logprobs === 'number' ? logprobs : 0,
    logprob_start_len: options.echo && Boolean(logprobs) ? 0 : -1,
    return_hidden_states: options.hiddenStates,
    rid: body['rid'],
  };
  return planGenerate(native, context.tokenizer, context.limits);
}

/** `POST /v1/completions`. */
export async function completions(context: EngineContext, exchange: HttpExchange): Promise<void> {
  try {
    const body = await readBody(exchange, completionSchema);
    const samples = typeof body['n'] === 'number' ? Math.max(body['n'], 1) : 1;
    const options = { ...readOptions(body), echo: body['echo'] === true, samples };
    const planned = plan(context, body, options);
    if (options.stream) await streamed(context, exchange, planned, options);
    else await whole(context, exchange, planned, options);
  } catch (error) {
    throw asOpenAiError(error);
  }
}

function echoed(context: EngineContext, generation: Generation, options: CompletionOptions): string {
  return options.echo ? context.tokenizer.decode([...generation.plan.request.promptIds], { keepSpecialTokens: true }) : '';
}

async function whole(context: EngineContext, exchange: HttpExchange, planned: GeneratePlan, options: CompletionOptions): Promise<void> {
  const generations = await runAll(context, exchange, planned, () => undefined);
  generations.forEach(throwIfFailed);
  const choices = generations.map((generation, index) => ({
    index,
    text: echoed(context, generation, options) + generation.text,
    logprobs: generation.plan.request.logprobs ? completionLogprobs(generation, 0, options.echo, context.tokenizer) : null,
    ...finishFields(generation),
    ...(options.hiddenStates && { hidden_states: lastHiddenState(generation) }),
  }));
  const id = generations[0]?.plan.request.rid ?? newRequestId();
  exchange.sendJson({
    ...envelope(id, 'text_completion', options.model),
    choices,
    usage: usage(generations, options.samples),
    metadata: metadata(generations[0]),
  });
}

async function streamed(context: EngineContext, exchange: HttpExchange, planned: GeneratePlan, options: CompletionOptions): Promise<void> {
  const events = exchange.events();
  const created = Math.floor(Date.now() / 1000);
  const send = (generation: Generation, choices: readonly unknown[], counts: unknown) =>
    events.send({ ...envelope(generation.plan.request.rid, 'text_completion', options.model, created), choices, usage: counts });
  const shown = new Map<number, { text: number; tokens: number }>();
  const generations = await runAll(context, exchange, planned, (generation, index) => {
    const before = shown.get(index);
    const { text, tokens } = before ?? { text: 0, tokens: 0 };
    const wantsLogprobs = generation.plan.request.logprobs !== undefined && (generation.logprobs.length > tokens || !before);
    const prefix = before ? '' : echoed(context, generation, options);
    const logprobs = wantsLogprobs ? completionLogprobs(generation, tokens, options.echo && !before, context.tokenizer) : null;
    send(generation, [{ index, text: prefix + generation.text.slice(text), logprobs, ...finishFields(generation) }], null);
    shown.set(index, { text: generation.text.length, tokens: generation.logprobs.length });
  });
  const first = generations[0];
  if (first && options.hiddenStates) {
    for (const [index, generation] of generations.entries()) {
      send(
        generation,
        [{ index, text: '', logprobs: null, finish_reason: null, matched_stop: null, hidden_states: lastHiddenState(generation) }],
        null,
      );
    }
  }
  if (first && options.includeUsage) {
    const { prompt_tokens, total_tokens, completion_tokens, reasoning_tokens } = usage(generations, options.samples);
    send(first, [], { prompt_tokens, total_tokens, completion_tokens, reasoning_tokens });
  }
  events.end();
}
