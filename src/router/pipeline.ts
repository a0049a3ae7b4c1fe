import { SequenceJson, type GeneratedToken, type TokenPrefix, type TopLogprobs } from '../sglang/index.ts';
import { blockLength, initialRate, observeToken } from './block-length.ts';
import type { Signals } from './scoring/signals.ts';
import { askedLogprobs, type LoopInput } from './token-loop.ts';
import type { EmittedToken, LoopEnd } from './token.ts';
import { turns } from './turns.ts';

/** A drafted block, until every row of it was emitted or dropped. */
interface Block {
  readonly drafted: number;
  used: number;
  left: number;
}

/** A question put to the LLM. */
interface Consultation {
  /** Tokens in front of it were still uncertain when it was asked. */
  readonly ahead: boolean;
  /** Ends its retries when nobody wants the answer any more. A call on the wire may finish: it is one token. */
  readonly abandoned: AbortController;
}

/** One position behind the certain tokens: what stands there if everything in front of it holds. */
interface Row {
  readonly id: number;
  readonly top: TopLogprobs | undefined;
  readonly block: Block;
  /** Sampling chose another token than the draft's, which voids what the draft has behind it. */
  readonly breaks: boolean;
  signals: Signals | undefined;
  divergent: boolean;
  /** The strategy's state behind this row, once it is decided. */
  after: unknown;
  consultation: Consultation | undefined;
  /** The LLM's answer, or the fallback. */
  settled: EmittedToken | undefined;
  failure: { readonly error: unknown } | undefined;
}

/** Blocks whose scores are awaited while the next one is drafted already; more would only queue up before a network that is slower than the SLM. */
const maxUnscoredBlocks = 1;
/** A dropped draft of more tokens than this is aborted on the server; a shorter one is cheaper to let run out. */
const shortDraft = 16;

/**
 * One conversation's work in progress: certain tokens, and behind them a chain of drafted rows that hold if the LLM, wherever it was or
 * will be asked, says what the SLM drafted. What is on its way (one draft, some scores, some consultations) reports through a queue; all
 * decisions are taken in {@link advance}, so that a slow reader of the answer stops the work.
 */
export class Pipeline {
  readonly #input: LoopInput;
  readonly #strategy: Exclude<LoopInput['strategy'], 'llm'>;
  /** Prompt, emitted tokens, and the tokens of the chain. */
  readonly #ids: number[];
  readonly #end: number;
  #certain: number;
  /** The certain tokens. */
  #json: SequenceJson;
  #chain: Row[] = [];
  /** Rows of the chain that the strategy has decided on; it decides in order. */
  #decided = 0;
  #state: unknown;
  #rate = initialRate;
  /** Abandons the draft under way. */
  #draft: AbortController | undefined;
  #draftFailure: { readonly error: unknown } | undefined;
  /** Counts how often rows were dropped: what belongs to an older count is void. */
  #epoch = 0;
  readonly #arrived: (() => void)[] = [];
  #wake: (() => void) | undefined;

  constructor(input: LoopInput, strategy: Exclude<LoopInput['strategy'], 'llm'>) {
    this.#input = input;
    this.#strategy = strategy;
    this.#ids = [...input.prompt];
    this.#certain = input.prompt.length;
    this.#json = SequenceJson.of(input.prompt);
    this.#end = input.prompt.length + input.maxTokens;
    this.#state = strategy.initial;
  }

  /**
   * Takes in what has arrived, decides, and starts what can be started.
   *
   * @returns the tokens that became certain, and why it is over if it is
   * @throws whatever made the next token impossible
   */
  advance(): { readonly tokens: readonly EmittedToken[]; readonly end: LoopEnd | undefined } {
    for (const take of this.#arrived.splice(0)) take();
    this.#decide();
    const { tokens, end } = this.#emit();
    if (end !== undefined) return { tokens, end };
    const failure = this.#failure;
    // Certain tokens go out first; the failure is met again at once.
    if (failure && tokens.length === 0) throw failure.error;
    if (failure) this.#report(() => undefined);
    this.#consult();
    this.#draftNext();
    return { tokens, end };
  }

  /** Resolves when something has arrived. */
  async arrival(): Promise<void> {
    if (this.#arrived.length > 0) return;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#wake = () => turns.take(() => resolve(undefined));
    await promise;
  }

  /** Gives up everything on its way. */
  close(): void {
    this.#truncate(0);
  }

  #report(take: () => void): void {
    this.#arrived.push(take);
    this.#wake?.();
    this.#wake = undefined;
  }

  /** The certain tokens and the first `length` of the chain. */
  #prefix(length: number): TokenPrefix {
    const ids = this.#ids.slice(0, this.#certain + length);
    return { ids, idsJson: this.#json.append(ids.slice(this.#certain)) };
  }

  #decide(): void {
    for (let row = this.#chain[this.#decided]; row?.signals; row = this.#chain[++this.#decided]) {
      const before = this.#decided === 0 ? this.#state : this.#chain[this.#decided - 1]?.after;
      const position = this.#certain + this.#decided - this.#input.prompt.length;
      const decision = this.#strategy.decide(before, { id: row.id, position, signals: row.signals });
      row.divergent = decision.divergent;
      row.after = decision.state;
    }
  }

  #emit(): { readonly tokens: readonly EmittedToken[]; readonly end: LoopEnd | undefined } {
    const { endIds, keepTop } = this.#input;
    const tokens: EmittedToken[] = [];
    let end: LoopEnd | undefined;
    while (this.#decided > 0 && end === undefined) {
      const row = this.#chain[0];
      if (!row || (row.divergent && !row.settled)) break;
      const token = row.settled ?? { id: row.id, source: 'slm', ...(keepTop && row.top && { top: row.top }) };
      this.#chain.shift();
      this.#decided--;
      this.#certain++;
      this.#state = row.after;
      this.#rate = observeToken(this.#rate, row.divergent, row.breaks || token.id !== row.id);
      if (row.consultation) this.#input.observer.consultation?.(row.consultation.ahead, true);
      this.#release(row, true);
      tokens.push(token);
      if (endIds.has(token.id)) end = 'stop';
    }
    if (tokens.length > 0) this.#json = this.#json.append(tokens.map(({ id }) => id));
    return { tokens, end: end ?? (this.#certain >= this.#end ? 'length' : undefined) };
  }

  /** What failed ahead of the certain tokens may never be needed; what failed at the very next one ends the loop. */
  get #failure(): { readonly error: unknown } | undefined {
    const [head] = this.#chain;
    return head ? head.failure : this.#draftFailure;
  }

  /** Divergent rows whose token is not known yet, in order. */
  get #open(): readonly Row[] {
    return this.#chain.slice(0, this.#decided).filter((row) => row.divergent && !row.settled);
  }

  #consult(): void {
    const { lookahead, maxLookaheadCalls } = this.#input;
    let ahead = this.#chain.filter((row, index) => index > 0 && row.consultation && !row.settled).length;
    for (const row of this.#open) {
      const index = this.#chain.indexOf(row);
      if (row.consultation) continue;
      if (index > 0 && (lookahead !== 'Nested' || ahead >= maxLookaheadCalls - 1)) break;
      if (index > 0) ahead++;
      this.#ask(row, index);
    }
  }

  #ask(row: Row, index: number): void {
    const { llm, sampler, keepTop, observer, prompt, signal } = this.#input;
    const position = this.#certain + index - prompt.length;
    const abandoned = new AbortController();
    row.consultation = { ahead: index > 0, abandoned };
    const started = performance.now();
    const topLogprobs = askedLogprobs(sampler, keepTop);
    llm.continue(this.#prefix(index), { maxTokens: 1, topLogprobs }, signal, abandoned.signal).then(
      ([answer]) => {
        observer.step?.('consult', started, performance.now(), 1);
        this.#report(() => this.#settle(row, answer, position));
      },
      (error: unknown) =>
        this.#report(() => {
          row.failure = { error };
        }),
    );
  }

  #settle(row: Row, answer: GeneratedToken | undefined, position: number): void {
    const index = this.#chain.indexOf(row);
    if (index < 0) return;
    const { sampler, keepTop } = this.#input;
    const id = answer ? sampler.choose(answer, position) : row.id;
    const top = answer ? answer.top : row.top;
    row.settled = { id, source: answer ? 'llm' : 'fallback', ...(keepTop && top && { top }) };
    if (id === row.id) return;
    this.#truncate(index + 1);
    this.#ids[this.#certain + index] = id;
  }

  #draftNext(): void {
    const { lookahead, maxLookaheadCalls, maxDraftTokens, endIds, slm } = this.#input;
    const room = this.#end - this.#ids.length;
    if (this.#draft || this.#draftFailure || room < 1) return;
    const off = lookahead === 'Off';
    const last = this.#ids.at(-1);
    if (this.#chain.length > 0 && last !== undefined && endIds.has(last)) return;
    const open = this.#open.length;
    if (open > { Off: 0, Single: 1, Nested: maxLookaheadCalls }[lookahead]) return;
    const unscored = new Set(this.#chain.slice(this.#decided).map(({ block }) => block)).size;
    if (unscored > maxUnscoredBlocks) return;
    // Rows behind an open question, or behind rows without a score, may be dropped.
    if (slm.busy && open + unscored > 0) return;
    const share = off ? this.#rate.divergentShare : this.#rate.brokenShare;
    const length = Math.min(blockLength(share, slm.overheadSteps, maxDraftTokens), room);
    this.#startDraft(length);
  }

  #startDraft(length: number): void {
    const { slm, scorer, sampler, keepTop, signal, observer } = this.#input;
    const abandoned = new AbortController();
    const epoch = this.#epoch;
    const started = performance.now();
    const needs = {
      topLogprobs: Math.max(scorer.topLogprobs, askedLogprobs(sampler, keepTop)),
      hiddenStates: scorer.hiddenStates,
      abortable: length > shortDraft,
    };
    this.#draft = abandoned;
    slm.draft(this.#prefix(this.#chain.length), length, needs, signal, abandoned.signal).then(
      (drafted) => {
        observer.step?.('draft', started, performance.now(), drafted.length);
        this.#report(() => {
          if (epoch === this.#epoch) this.#extend(drafted);
          else drafted[0]?.release?.();
        });
      },
      (error: unknown) =>
        this.#report(() => {
          if (epoch !== this.#epoch) return;
          this.#draft = undefined;
          this.#draftFailure = { error };
        }),
    );
  }

  /** Puts a draft at the end of the chain, up to the first row where sampling takes another token, and has it scored. */
  #extend(drafted: readonly GeneratedToken[]): void {
    this.#draft = undefined;
    const { sampler, scorer, prompt, signal, observer, keepTop } = this.#input;
    const first = this.#ids.length - prompt.length;
    const ids = drafted.map((token, index) => sampler.choose(token, first + index));
    const broken = drafted.findIndex(({ id }, index) => id !== ids[index]);
    const count = broken < 0 ? drafted.length : broken + 1;
    const block: Block = { drafted: drafted.length, used: 0, left: count };
    const rows = drafted.slice(0, count).map(({ top }, index): Row => ({
      id: ids[index] ?? 0,
      top: keepTop ? top : undefined,
      block,
      breaks: index === broken,
      signals: undefined,
      divergent: false,
      after: undefined,
      consultation: undefined,
      settled: undefined,
      failure: undefined,
    }));
    this.#chain.push(...rows);
    this.#ids.push(...ids.slice(0, count));
    const started = performance.now();
    const scorable = drafted.slice(0, count).map((token, index) => ({ ...token, id: ids[index] ?? 0 }));
    scorer.score(scorable, signal).then(
      (signals) => {
        observer.step?.('score', started, performance.now(), count);
        drafted[0]?.release?.();
        this.#report(() => {
          for (const [index, row] of rows.entries()) row.signals = signals[index];
        });
      },
      (error: unknown) =>
        this.#report(() => {
          for (const row of rows) row.failure = { error };
        }),
    );
  }

  /** Drops the chain from `length` on, and what is on its way for it. */
  #truncate(length: number): void {
    this.#epoch++;
    this.#draft?.abort();
    this.#draft = undefined;
    this.#draftFailure = undefined;
    for (const row of this.#chain.splice(length)) {
      row.consultation?.abandoned.abort();
      if (row.consultation) this.#input.observer.consultation?.(row.consultation.ahead, false);
      this.#release(row, false);
    }
    this.#decided = Math.min(this.#decided, length);
    this.#ids.length = this.#certain + length;
  }

  #release({ block }: Row, used: boolean): void {
    if (used) block.used++;
    if (--block.left === 0) this.#input.observer.block(block.drafted, block.used);
  }
}
