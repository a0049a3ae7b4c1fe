import { isMismatch } from '../mismatch.ts';

/** What the SLM says of a position, as the prefill step has it. */
export interface Prediction {
  readonly token_id: number;
  readonly token_type: number;
  /** The token at `token_id + 1`. */
  readonly next_token: number;
  /** What the SLM would say there. */
  readonly slm_token: number;
}

/** A token of the response that the SLM would not have said. */
export interface Mismatch {
  /** Of the token. */
  readonly position: number;
  readonly realToken: number;
  readonly slmToken: number;
}

/** The mismatch behind a row, if there is one; see {@link isMismatch}. */
export function mismatchOf(row: Prediction, thinkEnd: number | undefined): Mismatch | undefined {
  const { token_id: at, next_token: realToken, slm_token: slmToken } = row;
  return isMismatch(row, thinkEnd) ? { position: at + 1, realToken, slmToken } : undefined;
}
