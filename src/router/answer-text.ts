import type { TextStream, Tokenizer } from '../model/tokenizer.ts';
import { StopStrings } from './stop-strings.ts';

/** Tags around the reasoning of a model that thinks before it answers. Each is one token. */
export interface ThinkTags {
  readonly openId: number;
  readonly closeId: number;
  readonly open: string;
  readonly close: string;
}

/** The think tags of a tokenizer; undefined when it has none as tokens. */
export function thinkTags(tokenizer: Tokenizer): ThinkTags | undefined {
  const [open, close] = ['<think>', '</think>'];
  const [openId, closeId] = [tokenizer.tokenToId.get(open), tokenizer.tokenToId.get(close)];
  return openId === undefined || closeId === undefined ? undefined : { openId, closeId, open, close };
}

/** Text that became certain. */
export interface TextDelta {
  readonly content: string;
  readonly reasoning: string;
}

export interface AnswerTextOptions {
  readonly tokenizer: Tokenizer;
  readonly endIds: ReadonlySet<number>;
  readonly tags: ThinkTags | undefined;
  /** The prompt ended with the opening tag. */
  readonly startsThinking: boolean;
  /** Leave the reasoning and its tags in the content. */
  readonly inline: boolean;
  /** Matched in the content only, so that they cannot cut the reasoning short. */
  readonly stop: readonly string[];
}

/**
 * Turns emitted tokens into the answer's two texts. Bytes of an unfinished character and text that could become a stop string are held
 * back; tags and end tokens show in neither text.
 */
export class AnswerText {
  readonly #options: AnswerTextOptions;
  readonly #stops: StopStrings;
  #stream: TextStream;
  #thinking: boolean;
  #reasoningTokens = 0;

  constructor(options: AnswerTextOptions) {
    this.#options = options;
    this.#stops = new StopStrings(options.stop);
    this.#stream = options.tokenizer.stream();
    this.#thinking = options.startsThinking;
  }

  /** Tokens that were part of the reasoning, tags included. */
  get reasoningTokens(): number {
    return this.#reasoningTokens;
  }

  /** @returns the new text; `piece`, this token's own share of it whether held back or not; `stopped` when a stop string is complete */
  push(id: number): TextDelta & { readonly piece: string; readonly stopped: boolean } {
    const { tags, endIds, inline } = this.#options;
    const tag = id === tags?.openId ? tags.open : id === tags?.closeId ? tags.close : undefined;
    if (tag === undefined) {
      if (this.#thinking) this.#reasoningTokens++;
      const piece = endIds.has(id) ? '' : this.#stream.push(id);
      return { ...this.#place(piece), piece };
    }
    this.#reasoningTokens++;
    const before = this.#place(this.#stream.flush());
    this.#stream = this.#options.tokenizer.stream();
    this.#thinking = id === tags?.openId;
    const after = inline && !before.stopped ? this.#place(tag) : { content: '', reasoning: '', stopped: false };
    return {
      content: before.content + after.content,
      reasoning: before.reasoning + after.reasoning,
      piece: tag,
      stopped: before.stopped || after.stopped,
    };
  }

  /** What was held back, at the end of an answer that no stop string ended. */
  finish(): TextDelta & { readonly stopped: boolean } {
    const last = this.#place(this.#stream.flush());
    return last.stopped ? last : { ...last, content: last.content + this.#stops.flush() };
  }

  #place(text: string): TextDelta & { readonly stopped: boolean } {
    if (this.#thinking && !this.#options.inline) return { content: '', reasoning: text, stopped: false };
    const { text: content, stopped } = this.#stops.push(text);
    return { content, reasoning: '', stopped };
  }
}
