import type { Tokenizer } from '../../model/tokenizer.ts';

/** Ids of the tags around reasoning; undefined where the vocabulary has no such token. */
export interface ThinkIds {
  readonly start: number | undefined;
  readonly end: number | undefined;
}

export function thinkIdsOf(
  tokenizer: Tokenizer,
  { thinkStart, thinkEnd }: { readonly thinkStart: string; readonly thinkEnd: string },
): ThinkIds {
  return { start: tokenizer.tokenToId.get(thinkStart), end: tokenizer.tokenToId.get(thinkEnd) };
}

/**
 * The kind of each token of prompt and response together (upstream's `token_type`): 0 before the reasoning, 1 from its opening tag on, 2 from its
 * closing tag on. Where nobody thinks, the response is as what follows upon thought: 2 from the last token of the prompt on, whose successor is
 * the first of the response.
 */
export function tokenTypes(ids: readonly number[], promptLength: number, { start, end }: ThinkIds): Uint8Array {
  const types = new Uint8Array(ids.length);
  const opens = start === undefined ? -1 : ids.indexOf(start);
  if (opens < 0) return types.fill(2, Math.max(0, promptLength - 1));
  const closes = end === undefined ? -1 : ids.indexOf(end, opens);
  types.fill(1, opens, closes < 0 ? ids.length : closes);
  return closes < 0 ? types : types.fill(2, closes);
}
