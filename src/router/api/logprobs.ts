import type { Tokenizer } from '../../model/tokenizer.ts';
import type { TopLogprobs } from '../../sglang/index.ts';
import type { TokenPiece } from '../generation.ts';

/** What OpenAI's API gives for a token that is not among those whose log-probabilities are known. */
const unknownLogprob = -9999;

/** What log-probabilities are told with. */
export interface LogprobView {
  readonly tokenizer: Pick<Tokenizer, 'tokenBytes'>;
  readonly endIds: ReadonlySet<number>;
  /** Entries of each distribution to tell. */
  readonly topLogprobs: number;
}

interface Entry {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

function entry(id: number, logprob: number | undefined, { tokenizer }: LogprobView): Entry {
  const bytes = tokenizer.tokenBytes(id);
  const finite = logprob !== undefined && Number.isFinite(logprob) ? logprob : unknownLogprob;
  return { token: utf8.decode(bytes), logprob: finite, bytes: [...bytes] };
}

function own(id: number, top: TopLogprobs | undefined, view: LogprobView): Entry {
  return entry(id, top?.logprobs[top.ids.indexOf(id)], view);
}

function best(top: TopLogprobs | undefined, view: LogprobView): readonly Entry[] {
  return [...(top?.ids.subarray(0, view.topLogprobs) ?? [])].map((id, index) => entry(id, top?.logprobs[index], view));
}

/** End tokens show in no text. */
const shown = (pieces: readonly TokenPiece[], { endIds }: LogprobView): readonly TokenPiece[] => pieces.filter(({ id }) => !endIds.has(id));

/** `logprobs` of a chat choice: one entry a token, in order, reasoning included. */
export function chatLogprobs(pieces: readonly TokenPiece[], view: LogprobView): object {
  const content = shown(pieces, view).map(({ id, top }) => ({ ...own(id, top, view), top_logprobs: best(top, view) }));
  return { content, refusal: null };
}

/** A token as a name: its text, or its bytes where they are no text of their own. */
const nameOf = ({ token, bytes }: Entry): string =>
  token.includes('\uFFFD') ? `bytes:${bytes.map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}` : token;

/**
 * `logprobs` of a completions choice, in OpenAI's older form.
 *
 * @param textOffset characters (code points) of the choice's text in front of these tokens
 */
export function completionsLogprobs(pieces: readonly TokenPiece[], view: LogprobView, textOffset: number): object {
  const tokens = shown(pieces, view);
  const entries = tokens.map(({ id, top }) => own(id, top, view));
  let offset = textOffset;
  return {
    tokens: entries.map(nameOf),
    token_logprobs: entries.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ top }) => Object.fromEntries(best(top, view).map((item) => [nameOf(item), item.logprob]))),
    text_offset: tokens.map(({ text }) => {
      const start = offset;
      offset += characters(text);
      return start;
    }),
  };
}

/** Code points of a text. */
export function characters(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
