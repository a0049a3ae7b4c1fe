import { realBranch, type Branch, type BranchRule, type GenerateTokens } from './branches.ts';

/** Where the LLM would have said another token than the text has, and how it goes on from either. */
export interface Parting {
  readonly position: number;
  /** The LLM's. */
  readonly token: number;
  /** After the LLM's token. */
  readonly real: Branch;
  /** After the text's. */
  readonly small: Branch;
}

/**
 * Lets the LLM read a text that it did not write: it goes on by itself from `from`, and where it parts from the text it is set back on it, behind
 * the text's token. So one generation is the LLM's branch of the parting that it leads to, and the text's branch of the one before.
 *
 * @param room tokens that the LLM takes, prompt and answer together
 * @param maxTokens of a branch
 */
export async function readAlong(
  ids: readonly number[],
  from: number,
  { room, maxTokens, rule }: { readonly room: number; readonly maxTokens: number; readonly rule: BranchRule },
  generate: GenerateTokens,
): Promise<readonly Parting[]> {
  const partings: Parting[] = [];
  let open: Omit<Parting, 'small'> | undefined;
  for (let at = from; ;) {
    const said = await goOn(ids, at, { room, rule }, generate);
    if (open) partings.push({ ...open, small: realBranch(said, open.position, maxTokens, rule) });
    const position = partingOf(ids, said);
    if (position === undefined) return partings;
    open = { position, token: said[position] ?? -1, real: realBranch(said, position, maxTokens, rule) };
    at = position + 1;
  }
}

/** The text up to `at`, and what the LLM says behind it: until both its branches, from `at` and from where it parts from the text, are long enough. */
async function goOn(
  ids: readonly number[],
  at: number,
  { room, rule }: { readonly room: number; readonly rule: BranchRule },
  generate: GenerateTokens,
): Promise<readonly number[]> {
  const said = ids.slice(0, at);
  if (at > 0 && rule.endIds.has(ids[at - 1] ?? -1)) return said;
  let [ends, behind] = [0, 0];
  while (said.length < room && (ends < rule.sentenceEnds || behind < rule.sentenceEnds)) {
    const from = said.length;
    const piece = await generate(said, room - said.length);
    for (const id of piece.ids) said.push(id);
    const last = said.at(-1) ?? -1;
    if (said.length === from || rule.endIds.has(last)) return said;
    if (!rule.stops.has(last)) {
      // ended by a token that is none of those that it was told
      if (piece.stopped) return said.slice(0, -1);
      continue;
    }
    ends++;
    const parting = partingOf(ids, said);
    if (parting === undefined) {
      if (said.length >= ids.length) return said;
    } else if (parting < said.length - 1) behind++;
  }
  return said;
}

/** The first position at which both have a token, and not the same. */
function partingOf(ids: readonly number[], said: readonly number[]): number | undefined {
  const length = Math.min(ids.length, said.length);
  for (let at = 0; at < length; at++) if (ids[at] !== said[at]) return at;
  return undefined;
}
