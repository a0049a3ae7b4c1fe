import type { ChatMessage } from '../model/tokenizer.ts';
import type { EngineContext } from './engine-context.ts';
import { newRequestId, planGenerate, type GeneratePlan } from './generate-request.ts';
import { runAll } from './generate-route.ts';
import type { Generation } from './generation.ts';
import { HttpError } from './http-error.ts';
import type { HttpExchange } from './http-exchange.ts';
import { throwIfFailed } from './native-answer.ts';
import { chatLogprobs, envelope, finishFields, lastHiddenState, metadata, usage } from './openai-answer.ts';
import { asOpenAiError, chatSchema, readBody, readOptions, samplingOf, type OpenAiOptions } from './openai-request.ts';
import { isObject, type JsonObject } from './json-object.ts';

const roles = ['user', 'system', 'assistant', 'tool', 'function', 'developer'];

/** Content may be a string or a list of text parts, which are joined by a space. */
function contentText(content: unknown, role: string, index: number): string {
  if (typeof content === 'string') return content;
  if (Array.isArray(content)) {
    const parts = content.map((part) =>
      isObject(part) && part['type'] === 'text' && typeof part['text'] === 'string' ? part['text'] : undefined,
    );
    const wrong = parts.findIndex((part) => part === undefined);
    if (wrong !== -1) throw HttpError.invalidBody(`body.messages.${index}.content.${wrong}: only parts of type text are supported`);
    return parts.join(' ');
  }
  if (role === 'assistant' && (content === null || content === undefined)) return '';
  throw HttpError.invalidBody(`body.messages.${index}.content: Field required`);
}

function readMessages(body: JsonObject): ChatMessage[] {
  const messages = body['messages'] as readonly JsonObject[];
  if (messages.length === 0) throw HttpError.openai('Messages cannot be empty.');
  return messages.map((message, index) => {
    const { role, content } = message;
    if (typeof role !== 'string' || !roles.includes(role.toLowerCase()))
      throw HttpError.invalidBody(`body.messages.${index}.role: Input should be one of ${roles.join(', ')}`);
    return { ...message, role, content: contentText(content, role, index) };
  });
}

function plan(context: EngineContext, body: JsonObject, options: OpenAiOptions): GeneratePlan {
  const messages = readMessages(body);
  const maxTokens = (body['max_completion_tokens'] || body['max_tokens']) ?? null;
  const { contextLength } = context.options;
  if (typeof maxTokens === 'number' && maxTokens > contextLength) {
    throw HttpError.openai(
      `max_completion_tokens is too large: ${maxTokens}.This model supports at most ${contextLength} completion tokens.`,
    );
  }
  const variables = isObject(body['chat_template_kwargs']) ? body['chat_template_kwargs'] : {};
  if ('chat_template' in variables) throw HttpError.openai('Request-supplied chat_template is not allowed.');
  let prompt: string;
  try {
    prompt = context.tokenizer.applyChatTemplate(messages, { ...variables, ...(Array.isArray(body['tools']) && { tools: body['tools'] }) });
  } catch (error) {
    throw HttpError.openai(error instanceof Error ? error.message : String(error));
  }
  const native: Record<string, unknown> = {
    input_ids: context.tokenizer.encode(prompt),
    sampling_params: samplingOf(body, context.samplingDefaults, maxTokens),
    stream: options.stream,
    return_logprob: body['logprobs'] === true,
    top_logprobs_num: body['top_logprobs'] ?? 0,
    return_hidden_states: options.hiddenStates,
    rid: body['rid'],
  };
  return planGenerate(native, context.tokenizer, context.limits);
}

/** `POST /v1/chat/completions`. */
export async function chatCompletions(context: EngineContext, exchange: HttpExchange): Promise<void> {
  try {
    const body = await readBody(exchange, chatSchema);
    const options = readOptions(body);
    const planned = plan(context, body, options);
    if (options.stream) await streamed(context, exchange, planned, options);
    else await whole(context, exchange, planned, options);
  } catch (error) {
    throw asOpenAiError(error);
  }
}

async function whole(context: EngineContext, exchange: HttpExchange, planned: GeneratePlan, options: OpenAiOptions): Promise<void> {
  const generations = await runAll(context, exchange, planned, () => undefined);
  generations.forEach(throwIfFailed);
  const choices = generations.map((generation, index) => ({
    index,
    message: { role: 'assistant', content: generation.text, reasoning_content: null },
    logprobs: generation.plan.request.logprobs ? chatLogprobs(generation.ids, generation.logprobs, context.tokenizer) : null,
    ...finishFields(generation),
    ...(options.hiddenStates && { hidden_states: lastHiddenState(generation) }),
  }));
  const id = generations[0]?.plan.request.rid ?? newRequestId();
  exchange.sendJson({
    ...envelope(id, 'chat.completion', options.model),
    choices,
    usage: usage(generations, generations.length),
    metadata: metadata(generations[0]),
  });
}

async function streamed(context: EngineContext, exchange: HttpExchange, planned: GeneratePlan, options: OpenAiOptions): Promise<void> {
  const events = exchange.events();
  const created = Math.floor(Date.now() / 1000);
  const chunk = (generation: Generation, choice: Record<string, unknown>) =>
    events.send({ ...envelope(generation.plan.request.rid, 'chat.completion.chunk', options.model, created), choices: [choice] });
  const choice = (index: number, delta: Record<string, unknown>, logprobs: unknown, finish: Record<string, unknown>) => ({
    index,
    delta: { reasoning_content: null, ...delta },
    logprobs,
    ...finish,
  });
  const open = { finish_reason: null, matched_stop: null };
  const shown = new Map<number, { text: number; tokens: number }>();
  const generations = await runAll(context, exchange, planned, (generation, index) => {
    const before = shown.get(index);
    if (!before) chunk(generation, choice(index, { role: 'assistant', content: '' }, null, open));
    const { text, ids, logprobs, plan: sequence } = generation;
    const { text: textBefore, tokens } = before ?? { text: 0, tokens: 0 };
    const added = text.slice(textBefore);
    const wantsLogprobs = sequence.request.logprobs !== undefined && logprobs.length > tokens;
    if (added !== '')
      chunk(
        generation,
        choice(
          index,
          { content: added },
          wantsLogprobs ? chatLogprobs(ids.slice(tokens), logprobs.slice(tokens), context.tokenizer) : null,
          open,
        ),
      );
    shown.set(index, { text: text.length, tokens: logprobs.length });
  });
  for (const [index, generation] of generations.entries()) chunk(generation, choice(index, {}, null, finishFields(generation)));
  if (options.hiddenStates) {
    for (const [index, generation] of generations.entries()) {
      chunk(generation, {
        index,
        delta: { role: null, content: null, reasoning_content: null, hidden_states: lastHiddenState(generation) },
        logprobs: null,
        ...open,
      });
    }
  }
  const first = generations[0];
  if (options.includeUsage && first) {
    events.send({
      ...envelope(first.plan.request.rid, 'chat.completion.chunk', options.model, created),
      choices: [],
      usage: usage(generations, generations.length),
    });
  }
  events.end();
}
