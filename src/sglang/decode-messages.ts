import type { ExpectedAnswer } from './answer.ts';
import type { EngineErrorCode } from './errors.ts';
import type { HttpAnswer, Message } from './exchange.ts';
import type { PackedAnswer } from './packed-answer.ts';

/** To the decoding thread: an answer's bytes, which are handed over. */
export interface DecodeRequest {
  readonly call: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly expected: ExpectedAnswer;
  readonly url: string;
}

/** To the decoding thread: a call whose answer shall not pass through the event loop at all. */
export interface CarryRequest {
  readonly call: number;
  readonly message: Message;
  readonly expected: ExpectedAnswer;
  readonly url: string;
}

/** Cuts the connection of a carried call. */
export interface KillRequest {
  readonly kill: number;
}

/** Cuts all connections to a server, and forgets it. */
export interface DropRequest {
  readonly drop: string;
}

export type ThreadRequest = DecodeRequest | CarryRequest | KillRequest | DropRequest;

/** A carried call's answer with another status than 200. */
export interface StatusReply {
  readonly call: number;
  readonly answer: HttpAnswer;
}

/** A carried call without an answer: what the wire said. */
export interface WireReply {
  readonly call: number;
  readonly wire: { readonly code: string | undefined; readonly message: string };
}

export interface DecodedReply {
  readonly call: number;
  readonly packed: PackedAnswer;
  readonly decodeMs: number;
  /** Of a carried call. */
  readonly wireMs?: number;
  readonly bytes?: number;
}

/** What is wrong with the answer; `detail` is the message without the url. */
export interface RefusedReply {
  readonly call: number;
  readonly code: EngineErrorCode;
  readonly detail: string;
}

export type DecodeReply = DecodedReply | RefusedReply | StatusReply | WireReply;
