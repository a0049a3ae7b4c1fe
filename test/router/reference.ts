import type { Sampler } from '../../src/router/sampler.ts';
import type { Signals } from '../../src/router/scoring/signals.ts';
import type { Strategy } from '../../src/router/strategy.ts';
import type { EmittedToken, LoopEnd } from '../../src/router/token.ts';
import type { GeneratedToken } from '../../src/sglang/index.ts';

/** A model that is asked for one token after the other: a scripted one at once, a real one by and by. */
export interface ReferenceModel {
  next(prefix: readonly number[]): GeneratedToken | Promise<GeneratedToken>;
}

export interface ReferenceInput {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly slm: ReferenceModel;
  readonly llm: ReferenceModel;
  /** Ids below this are known to both. */
  readonly validIds: number;
  readonly strategy: Strategy | 'llm';
  readonly sampler: Sampler;
  /** What the strategy sees of a token, known from the prefix it was drafted on. */
  readonly signals: (prefix: readonly number[], id: number) => Signals | Promise<Signals>;
  readonly endIds: ReadonlySet<number>;
  /** Positions in the output at which no LLM answered. */
  readonly outage: ReadonlySet<number>;
}

/** Token-level routing as one would write it on a napkin: one token at a time, no blocks, nothing at once. */
export async function reference(input: ReferenceInput): Promise<{ readonly tokens: readonly EmittedToken[]; readonly end: LoopEnd }> {
  const prefix = [...input.prompt];
  const tokens: EmittedToken[] = [];
  let state = input.strategy === 'llm' ? undefined : input.strategy.initial;
  while (tokens.length < input.maxTokens) {
    const position = tokens.length;
    const drafted = input.sampler.choose(await input.slm.next(prefix), position);
    let divergent = true;
    if (input.strategy !== 'llm') {
      const decision = input.strategy.decide(state, { id: drafted, position, signals: await input.signals(prefix, drafted) });
      ({ divergent } = decision);
      state = decision.state;
    }
    let token: EmittedToken = { id: drafted, source: 'slm' };
    if (divergent) {
      const answer = await input.llm.next(prefix);
      const unusable = input.outage.has(position) || answer.id >= input.validIds;
      token = unusable ? { id: drafted, source: 'fallback' } : { id: input.sampler.choose(answer, position), source: 'llm' };
    }
    tokens.push(token);
    prefix.push(token.id);
    if (input.endIds.has(token.id)) return { tokens, end: 'stop' };
  }
  return { tokens, end: 'length' };
}
