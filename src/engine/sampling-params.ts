/** What one request asks of the sampler, defaults filled in and limits checked (see request-schema.ts). */
export interface SamplingParams {
  readonly maxNewTokens: number;
  readonly minNewTokens: number;
  readonly temperature: number;
  readonly topP: number;
  /** Infinity: no limit. 1: greedy. */
  readonly topK: number;
  readonly minP: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  readonly repetitionPenalty: number;
  readonly logitBias: readonly (readonly [id: number, bias: number])[];
  readonly stop: readonly string[];
  /** Tokens of the longest stop string: how far back a match can begin. */
  readonly stopTokens: number;
  readonly stopTokenIds: readonly number[];
  readonly ignoreEos: boolean;
  readonly noStopTrim: boolean;
  readonly skipSpecialTokens: boolean;
  readonly streamInterval: number;
  /** Makes sampling repeatable; undefined: random. */
  readonly seed: number | undefined;
}
