/** Client of SGLang's native API. */
export type { AnswerCost, GeneratedToken, GenerateAnswer, TopLogprobs } from './answer.ts';
export type { GenerateCall, TokenPrefix } from './call.ts';
export { SglangClient, type SglangClientOptions } from './client.ts';
export { Decoder, type DecoderOptions } from './decoder.ts';
export { EngineError, type EngineErrorCode } from './errors.ts';
export type { EngineLoad } from './exposition.ts';
export type { ModelInfo, ServerInfo } from './info.ts';
export type { PrefillAnswer, PrefillCall, PrefilledRow } from './prefill.ts';
export { SequenceJson } from './sequence-json.ts';
