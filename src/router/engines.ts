import { EngineError, type GenerateAnswer, type GenerateCall, type GeneratedToken } from '../sglang/index.ts';

/** What the token loop needs of a model server. */
export interface Engine {
  readonly url: string;
  generate(call: GenerateCall, signal?: AbortSignal): Promise<GenerateAnswer>;
}

/**
 * The tokens of a block up to the first id that one of the two models, or the tokenizer, does not know. Such an id would kill the
 * other model's server when it is sent back as part of the prefix.
 *
 * @param validIds ids below this are known to both models and the tokenizer
 * @throws EngineError `invalid_token` when the first token is unknown already
 */
export function validTokens(answer: GenerateAnswer, validIds: number, url: string): readonly GeneratedToken[] {
  const end = answer.tokens.findIndex((token) => token.id >= validIds);
  if (end === 0)
    throw new EngineError('invalid_token', url, `generated token id ${answer.tokens[0]?.id}, but only ids below ${validIds} are shared`);
  return end < 0 ? answer.tokens : answer.tokens.slice(0, end);
}
