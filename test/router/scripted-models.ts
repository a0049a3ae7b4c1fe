import type { GeneratedToken, TopLogprobs } from '../../src/sglang/index.ts';

/** A model whose next token is a pure function of the prefix. */
export interface ScriptedModel {
  next(prefix: readonly number[]): GeneratedToken & { readonly top: TopLogprobs };
}

/** Ids 0 to 127; what the scripted pair shares. */
export const vocabSize = 128;

/** 32 well-mixed bits of a prefix (FNV-1a with a final avalanche). */
export function mix(seed: number, prefix: readonly number[]): number {
  let h = (2166136261 ^ seed) >>> 0;
  for (const id of prefix) h = Math.imul(h ^ id, 16777619) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b) >>> 0;
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35) >>> 0;
  return (h ^ (h >>> 16)) >>> 0;
}

/** A distribution over the vocabulary's best `count` that gives `id` the probability `p` and the others equal parts of the rest. */
export function distribution(id: number, p: number, count = 100): TopLogprobs {
  const others = Array.from({ length: vocabSize }, (_, other) => other).filter((other) => other !== id);
  const ids = Int32Array.from([id, ...others.slice(0, count - 1)]);
  const logprobs = new Float64Array(count).fill(Math.log((1 - p) / (vocabSize - 1)));
  logprobs[0] = Math.log(p);
  return { ids, logprobs };
}

/** An unsure model: any of the first `tokens` ids, with a certainty drawn per prefix. */
export function scriptedSlm(seed: number, tokens = 12): ScriptedModel {
  return {
    next(prefix) {
      const bits = mix(seed, prefix);
      const id = bits % tokens;
      return { id, top: distribution(id, 0.3 + (0.69 * ((bits >>> 8) % 1000)) / 1000) };
    },
  };
}

/** A model that agrees with `slm` on the given share of prefixes and says a token of its own elsewhere; now and then one nobody knows. */
export function scriptedLlm(
  slm: ScriptedModel,
  seed: number,
  options: { agreement: number; unknownShare?: number; tokens?: number },
): ScriptedModel {
  const { agreement, unknownShare = 0, tokens = 12 } = options;
  return {
    next(prefix) {
      const bits = mix(seed ^ 0x5bd1e995, prefix);
      const draw = ((bits >>> 4) % 10_000) / 10_000;
      const id = draw < agreement ? slm.next(prefix).id : draw > 1 - unknownShare ? vocabSize + (bits % 8) : bits % tokens;
      return { id, top: distribution(id, 0.9) };
    },
  };
}

/** What a model server answers: up to `length` tokens, ending with an end token. */
export function continuation(model: ScriptedModel, prefix: readonly number[], length: number, endIds: readonly number[]): GeneratedToken[] {
  const ids = [...prefix];
  const tokens: GeneratedToken[] = [];
  while (tokens.length < length) {
    const token = model.next(ids);
    tokens.push(token);
    ids.push(token.id);
    if (endIds.includes(token.id)) break;
  }
  return tokens;
}
