import type { PrefillRow } from './tables.ts';

/**
 * Whether the token behind a row is one that the SLM would not have said: inside or after the reasoning, and not where the LLM ends its thinking
 * (the SLM ending it earlier is one). In a text that the SLM wrote these are not where the LLM says another token: see continue/slm-texts.ts.
 *
 * @param thinkEnd undefined when the vocabulary has no such token
 */
export function isMismatch(row: Pick<PrefillRow, 'token_type' | 'next_token' | 'slm_token'>, thinkEnd: number | undefined): boolean {
  return row.token_type !== 0 && row.slm_token !== row.next_token && row.next_token !== thinkEnd;
}
