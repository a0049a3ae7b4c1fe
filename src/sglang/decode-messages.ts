import type { ExpectedAnswer } from './answer.ts';
import type { EngineErrorCode } from './errors.ts';
import type { PackedAnswer } from './packed-answer.ts';

/** To the decoding thread: an answer's bytes, which are handed over. */
export interface DecodeRequest {
  readonly call: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly expected: ExpectedAnswer;
  readonly url: string;
}

export interface DecodedReply {
  readonly call: number;
  readonly packed: PackedAnswer;
  readonly decodeMs: number;
}

/** What is wrong with the answer; `detail` is the message without the url. */
export interface RefusedReply {
  readonly call: number;
  readonly code: EngineErrorCode;
  readonly detail: string;
}

export type DecodeReply = DecodedReply | RefusedReply;
