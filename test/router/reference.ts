import { entropy } from '../../src/router/entropy.ts';
import type { Strategy } from '../../src/router/strategy.ts';
import type { EmittedToken, LoopEnd } from '../../src/router/token.ts';
import { vocabSize, type ScriptedModel } from './scripted-models.ts';

export interface ReferenceInput<State> {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly slm: ScriptedModel;
  readonly llm: ScriptedModel;
  readonly strategy: Strategy<State> | 'llm';
  readonly endIds: ReadonlySet<number>;
  /** Positions in the output at which no LLM answered. */
  readonly outage: ReadonlySet<number>;
}

/** Token-level routing as one would write it on a napkin: one token at a time, no blocks, nothing at once. */
export function reference<State>(input: ReferenceInput<State>): { readonly tokens: readonly EmittedToken[]; readonly end: LoopEnd } {
  const prefix = [...input.prompt];
  const tokens: EmittedToken[] = [];
  let state = input.strategy === 'llm' ? undefined : input.strategy.initial;
  while (tokens.length < input.maxTokens) {
    const drafted = input.slm.next(prefix);
    let divergent = true;
    if (input.strategy !== 'llm') {
      const decision = input.strategy.decide(state as State, { id: drafted.id, score: entropy(drafted.top) });
      ({ divergent } = decision);
      state = decision.state;
    }
    let token: EmittedToken = { id: drafted.id, source: 'slm' };
    if (divergent) {
      const { id } = input.llm.next(prefix);
      const unusable = input.outage.has(tokens.length) || id >= vocabSize;
      token = unusable ? { id: drafted.id, source: 'fallback' } : { id, source: 'llm' };
    }
    tokens.push(token);
    prefix.push(token.id);
    if (input.endIds.has(token.id)) return { tokens, end: 'stop' };
  }
  return { tokens, end: 'length' };
}
