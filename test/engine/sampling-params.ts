import type { SamplingParams } from '../../src/engine/sampling-params.ts';

/** Defaults for tests. */
export const samplingParams: SamplingParams = {
  maxNewTokens: 8,
  minNewTokens: 0,
  temperature: 1,
  topP: 1,
  topK: Infinity,
  minP: 0,
  frequencyPenalty: 0,
  presencePenalty: 0,
  repetitionPenalty: 1,
  logitBias: [],
  stop: [],
  stopTokens: 0,
  stopTokenIds: [],
  ignoreEos: false,
  noStopTrim: false,
  skipSpecialTokens: true,
  streamInterval: 1,
  seed: undefined,
};
