import { samplerOf, type Sampling } from '../../src/router/sampler.ts';
import type { Scorer, SignalName } from '../../src/router/scoring/index.ts';
import type { GeneratedToken, SglangClient } from '../../src/sglang/index.ts';
import type { Piece } from '../router/chat-client.ts';
import { possibleTokens } from './sampling-margin.ts';

/**
 * What bfloat16 arithmetic explains. A logit between 8 and 32 has a spacing of 0.0625 to 0.125, and batching or caching may round each of two
 * logits the other way; entropies move less than that, since every logit carries weight below one. The network sees some dozen values of
 * which each may be one bfloat16 step away.
 */
export const margins = { logprob: 0.25, entropy: 0.1, probability: 0.05 };

/** What decides in one-token-at-a-time routing. */
export interface TaughtRouting {
  readonly signal: Extract<SignalName, keyof typeof margins>;
  readonly threshold: number;
  readonly scorer: Scorer;
  readonly sampling: Sampling;
}

/** A position at which the router's token is not the one that the servers give when asked for this one token. */
export interface Difference {
  readonly position: number;
  /** The smallest share of the margins that explains the difference; undefined: they do not. */
  readonly shareOfMargin: number | undefined;
  readonly router: Piece;
  readonly expected: { readonly id: number; readonly source: string };
  readonly score: number;
}

type Row = GeneratedToken & Required<Pick<GeneratedToken, 'id' | 'top'>>;

const shares = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1];

/** Routes one token at a time on real servers, and judges answers by that. What the servers said of a prefix is kept. */
export class Teacher {
  readonly #slm: SglangClient;
  readonly #llm: SglangClient;
  readonly #validIds: number;
  readonly #known = new Map<string, Promise<Row>>();

  /** @param validIds ids from this on are never chosen */
  constructor(servers: { readonly slm: SglangClient; readonly llm: SglangClient }, validIds: number) {
    this.#slm = servers.slm;
    this.#llm = servers.llm;
    this.#validIds = validIds;
  }

  /** Judges an answer position by position, with the answer's own tokens as prefix. */
  async differences(prompt: readonly number[], answer: readonly Piece[], routing: TaughtRouting): Promise<readonly Difference[]> {
    const { threshold, sampling } = routing;
    const sampler = samplerOf(sampling, this.#validIds);
    const found: Difference[] = [];
    for (const [position, router] of answer.entries()) {
      const ids = [...prompt, ...answer.slice(0, position).map(({ id }) => id)];
      const drafted = await this.#one(this.#slm, ids);
      const own = sampler.choose(drafted, position);
      const [score = Number.NaN] = await this.#scores(drafted, [own], routing);
      const divergent = !(score < threshold);
      const supplied = divergent || router.source === 'llm' ? await this.#one(this.#llm, ids) : undefined;
      // a fallback is the SLM's token where the LLM's was wanted
      const askedLlm = divergent && router.source !== 'fallback';
      const expected = {
        id: askedLlm && supplied ? sampler.choose(supplied, position) : own,
        source: divergent ? (askedLlm ? 'llm' : 'fallback') : 'slm',
      };
      if (router.id === expected.id && router.source === expected.source) continue;
      let shareOfMargin: number | undefined;
      for (const share of shares)
        if (shareOfMargin === undefined && (await this.#explains(share, router, position, { drafted, supplied }, routing)))
          shareOfMargin = share;
      found.push({ position, shareOfMargin, router, expected, score });
    }
    return found;
  }

  async #explains(
    share: number,
    router: Piece,
    position: number,
    { drafted, supplied }: { readonly drafted: Row; readonly supplied: Row | undefined },
    routing: TaughtRouting,
  ): Promise<boolean> {
    const { signal, threshold, sampling } = routing;
    const distance = share * margins[signal];
    const possible = ({ top }: Row): ReadonlySet<number> =>
      possibleTokens(top, sampling, position, share * margins.logprob, this.#validIds);
    const drafts = [...possible(drafted)];
    const scores = await this.#scores(drafted, drafts, routing);
    if (router.source === 'slm') return scores.some((score, index) => drafts[index] === router.id && score < threshold + distance);
    if (router.source === 'fallback') return scores.some((score, index) => drafts[index] === router.id && score >= threshold - distance);
    return supplied !== undefined && possible(supplied).has(router.id) && scores.some((score) => score >= threshold - distance);
  }

  /** Scores of tokens at one position. */
  async #scores(drafted: Row, ids: readonly number[], { signal, scorer }: TaughtRouting): Promise<readonly number[]> {
    const rows = ids.map((id) => ({ ...drafted, id }));
    return (await scorer.score(rows, new AbortController().signal)).map((signals) => signals[signal]);
  }

  #one(server: SglangClient, ids: readonly number[]): Promise<Row> {
    const key = `${server.url} ${ids.join()}`;
    const known = this.#known.get(key);
    if (known) return known;
    const asked = ask(server, ids, server === this.#slm);
    this.#known.set(key, asked);
    return asked;
  }
}

async function ask(server: SglangClient, ids: readonly number[], hiddenStates: boolean): Promise<Row> {
  const { tokens } = await server.generate({ ids, maxNewTokens: 1, topLogprobs: 100, hiddenStates, timeoutMs: 60_000 });
  const [token] = tokens;
  if (!token?.top) throw new Error(`${server.url} gave no token`);
  return { ...token, top: token.top };
}

/** Counts what was judged, for the line that a test prints. */
export class Tally {
  tokens = 0;
  byLlm = 0;
  readonly explained: number[] = [];

  /** @returns differences that no margin explains */
  add(answer: readonly Piece[], differences: readonly Difference[]): readonly Difference[] {
    this.tokens += answer.length;
    this.byLlm += answer.filter(({ source }) => source === 'llm').length;
    this.explained.push(...differences.flatMap(({ shareOfMargin }) => (shareOfMargin === undefined ? [] : [shareOfMargin])));
    return differences.filter(({ shareOfMargin }) => shareOfMargin === undefined);
  }

  toString(): string {
    const farthest = this.explained.length > 0 ? `, at most ${Math.max(...this.explained)} of the margins away` : '';
    return `${this.tokens} tokens, ${this.byLlm} of the LLM; ${this.explained.length} differ within bfloat16${farthest}`;
  }
}
