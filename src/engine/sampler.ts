import { argmax, largest } from './logits.ts';
import type { SamplingParams } from './sampling-params.ts';

/** Uniform numbers in [0, 1). */
export type Random = () => number;

/** A small generator with good statistics (mulberry32), for repeatable sampling. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Chooses the next token from penalised logits. Greedy when `topK` is 1; else softmax at the temperature, cut to the `topK` best, then to the
 * smallest set with probability `topP`, then to those above `minP` times the best, and one is drawn by weight.
 */
export function sample(logits: Float32Array, params: SamplingParams, random: Random): number {
  if (params.topK === 1) return argmax(logits);
  const restricted = params.topK < logits.length || params.topP < 1 || params.minP > 0;
  if (!restricted) return drawFromAll(logits, params.temperature, random);
  const { ids, logprobs: values } = largest(logits, params.topP < 1 || params.minP > 0 ? logits.length : params.topK);
  const best = values[0] ?? 0;
  const all = values.map((value) => Math.exp((value - best) / params.temperature));
  const total = all.reduce((sum, weight) => sum + weight, 0);
  const kept: number[] = [];
  let before = 0;
  for (const weight of all.slice(0, Number.isFinite(params.topK) ? params.topK : undefined)) {
    if (before / total > params.topP || weight < params.minP) break;
    kept.push(weight);
    before += weight;
  }
  let left = random() * before;
  for (const [index, weight] of kept.entries()) {
    left -= weight;
    if (left < 0) return ids[index] ?? 0;
  }
  return ids[kept.length - 1] ?? 0;
}

function drawFromAll(logits: Float32Array, temperature: number, random: Random): number {
  const best = logits[argmax(logits)] ?? 0;
  let total = 0;
  for (const value of logits) total += Math.exp((value - best) / temperature);
  let left = random() * total;
  let last = 0;
  for (const [id, value] of logits.entries()) {
    const weight = Math.exp((value - best) / temperature);
    if (weight === 0) continue;
    last = id;
    left -= weight;
    if (left < 0) return id;
  }
  return last;
}
