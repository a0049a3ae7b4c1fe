/** What routing one token at a time gives on two real servers: the reference for answers of a router before the example models. */
import { loadTokenizer } from '../../src/model/tokenizer-folder.ts';
import { samplerOf, type Sampling } from '../../src/router/sampler.ts';
import { plainScorer, type Scoring, type SignalName, type Signals } from '../../src/router/scoring/index.ts';
import { strategyOf } from '../../src/router/strategies/index.ts';
import type { EmittedToken } from '../../src/router/token.ts';
import type { StrategyName } from '../../src/api/strategies.ts';
import { SglangClient, type GeneratedToken } from '../../src/sglang/index.ts';
import { reference, type ReferenceModel } from './reference.ts';
import { tinyModels } from './tiny-pair.ts';

export interface ReferenceRequest {
  readonly question: string;
  readonly maxTokens: number;
  readonly strategy: StrategyName;
  readonly threshold?: number | undefined;
  /** @default always the best token */
  readonly sampling?: Omit<Sampling, 'choice'> | undefined;
  /** Positions of the answer at which no LLM answered. @default none */
  readonly outage?: ReadonlySet<number>;
}

export interface ReferenceOptions {
  readonly slmUrl: string;
  readonly llmUrl: string;
  /** For strategies that look at more than entropy. */
  readonly scoring?: Scoring;
}

const vocabSize = 480;
const greedy = { temperature: 0, topP: 1, topK: 0, seed: 0 };

/** Asks its servers for one token after the other, and never twice for the same. */
export class RealReference {
  readonly #options: ReferenceOptions;
  readonly #slm: RememberingModel;
  readonly #llm: RememberingModel;
  readonly #signals = new Map<string, Promise<Signals>>();
  readonly #signal = new AbortController().signal;

  constructor(options: ReferenceOptions) {
    this.#options = options;
    this.#slm = new RememberingModel(options.slmUrl, options.scoring !== undefined);
    this.#llm = new RememberingModel(options.llmUrl, false);
  }

  async answer({ question, maxTokens, strategy, threshold, sampling, outage }: ReferenceRequest): Promise<readonly EmittedToken[]> {
    const tokenizer = await loadTokenizer(tinyModels.slm);
    const chosen = strategyOf(strategy, threshold, {});
    const { tokens } = await reference({
      prompt: tokenizer.encode(tokenizer.applyChatTemplate([{ role: 'user', content: question }])),
      maxTokens,
      slm: this.#slm,
      llm: this.#llm,
      validIds: vocabSize,
      strategy: chosen,
      sampler: samplerOf({ ...(sampling ?? greedy), choice: 0 }, vocabSize),
      signals: (prefix, id) => this.signals(prefix, id, chosen === 'llm' ? [] : chosen.signals),
      endIds: new Set(tokenizer.endIds),
      outage: outage ?? new Set(),
    });
    return tokens;
  }

  /** What a strategy sees of token `id` behind `prefix`. */
  signals(prefix: readonly number[], id: number, wanted: readonly SignalName[]): Promise<Signals> {
    const key = `${wanted.join()} ${id} ${prefix.join()}`;
    const known = this.#signals.get(key);
    if (known) return known;
    const scorer = this.#options.scoring?.scorerFor(wanted) ?? plainScorer(wanted);
    const scored = this.#slm.next(prefix).then(async (drafted) => (await scorer.score([{ ...drafted, id }], this.#signal))[0]!);
    this.#signals.set(key, scored);
    return scored;
  }

  async close(): Promise<void> {
    await Promise.all([this.#slm.close(), this.#llm.close()]);
  }
}

class RememberingModel implements ReferenceModel {
  readonly #client: SglangClient;
  readonly #hiddenStates: boolean;
  readonly #known = new Map<string, Promise<GeneratedToken>>();

  constructor(url: string, hiddenStates: boolean) {
    this.#client = new SglangClient({ url, vocabSize });
    this.#hiddenStates = hiddenStates;
  }

  next(prefix: readonly number[]): Promise<GeneratedToken> {
    const key = prefix.join();
    let token = this.#known.get(key);
    if (!token) this.#known.set(key, (token = this.#ask(prefix)));
    return token;
  }

  async #ask(prefix: readonly number[]): Promise<GeneratedToken> {
    const wanted = { topLogprobs: 100, ...(this.#hiddenStates && { hiddenStates: true }) };
    // a copy: the reference goes on writing into its own
    const { tokens } = await this.#client.generate({ ids: [...prefix], maxNewTokens: 1, timeoutMs: 60_000, ...wanted });
    if (!tokens[0]) throw new Error('the server gave no token');
    return tokens[0];
  }

  close(): Promise<void> {
    return this.#client.destroy();
  }
}
