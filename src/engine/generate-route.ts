import type { EngineContext } from './engine-context.ts';
import { planGenerate, type GeneratePlan } from './generate-request.ts';
import type { Generation } from './generation.ts';
import { HttpError } from './http-error.ts';
import type { HttpExchange } from './http-exchange.ts';
import { nativeAnswer, throwIfFailed } from './native-answer.ts';
import { checkGenerateContract } from './request-contract.ts';

/** `POST /generate`. */
export async function generate(context: EngineContext, exchange: HttpExchange): Promise<void> {
  const body = checkGenerateContract(await exchange.json());
  if (body['stream'] === true) {
    await streamed(context, exchange, () => planGenerate(body, context.tokenizer, context.limits));
    return;
  }
  const plan = planGenerate(body, context.tokenizer, context.limits);
  const generations = await runAll(context, exchange, plan, () => undefined);
  generations.forEach(throwIfFailed);
  const answers = generations.map((generation) => nativeAnswer(generation, context));
  exchange.sendJson(plan.single ? answers[0] : answers);
}

/** Computes shared prompts, then the sequences. */
export async function runAll(
  context: EngineContext,
  exchange: HttpExchange,
  plan: GeneratePlan,
  onReport: (generation: Generation, index: number) => void,
): Promise<Generation[]> {
  await context.generations.run(plan.warmups, exchange.receivedAt, exchange.gone, () => undefined);
  const generations = await context.generations.run(plan.sequences, exchange.receivedAt, exchange.gone, onReport);
  for (const generation of generations) context.metrics.finished(generation);
  return generations;
}

/** Events are cumulative, so one that a slow client has not read yet may be left out. Errors come as an event: the status is sent already. */
async function streamed(context: EngineContext, exchange: HttpExchange, makePlan: () => GeneratePlan): Promise<void> {
  const events = exchange.events();
  try {
    const plan = makePlan();
    await runAll(context, exchange, plan, (generation, index) => {
      if (events.congested && !generation.finish) return;
      const answer = nativeAnswer(generation, context);
      events.send(plan.single ? answer : { ...answer, index });
    });
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    events.send({ error: { message: error.message, type: 'invalid_request_error', code: error.status, retryable: false } });
  }
  events.end();
}
