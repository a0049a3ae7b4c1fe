import type { Tokenizer } from '../../model/tokenizer.ts';

export interface ThinkTags {
  readonly thinkStart: string;
  readonly thinkEnd: string;
}

/** An answer as it was generated. */
export interface GeneratedAnswer {
  /** The end token included. */
  readonly ids: readonly number[];
  /** `stop`: an end token ended it; `length`: the limit did. */
  readonly finish: 'stop' | 'length';
}

export interface SplitAnswer {
  readonly reasoning: string;
  readonly response: string;
  /** Ended by an end token, with no thought left open: what closed its reasoning and then ran into the limit is not finished. */
  readonly isFinished: boolean;
}

/**
 * Splits an answer at the first end of thinking: what comes before is reasoning, what comes after is the response, both without the tags and
 * the white space around them. Reasoning that never ends is all reasoning; an answer that knows no tags is all response.
 *
 * @param startsThinking the prompt ended with the opening tag, so that the answer has none
 */
export function splitAnswer({ ids, finish }: GeneratedAnswer, startsThinking: boolean, tokenizer: Tokenizer, tags: ThinkTags): SplitAnswer {
  const spoken = finish === 'stop' ? ids.slice(0, -1) : ids;
  const text = tokenizer.decode(spoken, { keepSpecialTokens: true });
  const opened = startsThinking || text.includes(tags.thinkStart);
  const end = text.indexOf(tags.thinkEnd);
  const isFinished = finish === 'stop' && (!opened || end >= 0);
  if (end < 0 && !opened) return { reasoning: '', response: text.trim(), isFinished };
  const thought = end < 0 ? text : text.slice(0, end);
  const response = end < 0 ? '' : text.slice(end + tags.thinkEnd.length);
  return { reasoning: withoutOpening(thought, tags.thinkStart), response: response.trim(), isFinished };
}

function withoutOpening(thought: string, thinkStart: string): string {
  const text = thought.trim();
  return text.startsWith(thinkStart) ? text.slice(thinkStart.length).trim() : text;
}
