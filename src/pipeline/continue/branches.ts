import { z } from 'zod';

/** What ends a branch. */
export interface BranchRule {
  /** Tokens that end a sentence. */
  readonly stops: ReadonlySet<number>;
  /** The LLM's end tokens. */
  readonly endIds: ReadonlySet<number>;
  /** Sentence ends after which a branch is long enough. */
  readonly sentenceEnds: number;
}

export type BranchFinish = 'sentences' | 'stop' | 'length';

export interface Branch {
  /** After the token that parts the two; without a final end token. */
  readonly ids: readonly number[];
  /** So many sentence ends, an end token, or the limit. */
  readonly finish: BranchFinish;
}

/** A branch in a journal. */
export const branchSchema = z.object({ ids: z.array(z.int()), finish: z.enum(['sentences', 'stop', 'length']) });

/** Greedy tokens until one of the stop or end tokens, which is the last of them, or until the limit or a server's own. */
export type GenerateTokens = (prefix: readonly number[], maxNewTokens: number) => Promise<{ ids: readonly number[]; stopped: boolean }>;

/**
 * Continues the SLM's branch to as many sentence ends as the rule says. Each piece is the prefix of the next, so that an engine with a prefix
 * cache reads only what is new.
 *
 * @param prefix context and the SLM's token
 */
export async function generatedBranch(
  prefix: readonly number[],
  maxTokens: number,
  rule: BranchRule,
  generate: GenerateTokens,
): Promise<Branch> {
  const ids: number[] = [];
  if (rule.endIds.has(prefix.at(-1) ?? -1)) return { ids, finish: 'stop' };
  for (let ends = 0; ids.length < maxTokens;) {
    const piece = await generate([...prefix, ...ids], maxTokens - ids.length);
    for (const id of piece.ids) ids.push(id);
    const last = ids.at(-1) ?? -1;
    if (rule.endIds.has(last)) return { ids: ids.slice(0, -1), finish: 'stop' };
    if (rule.stops.has(last)) {
      if (++ends === rule.sentenceEnds) return { ids, finish: 'sentences' };
    } else if (piece.stopped) return { ids: ids.slice(0, -1), finish: 'stop' };
  }
  return { ids, finish: 'length' };
}

/** The real branch, cut by the same rule: what follows the token at `position`. */
export function realBranch(ids: readonly number[], position: number, maxTokens: number, rule: BranchRule): Branch {
  const limit = Math.min(ids.length, position + 1 + maxTokens);
  if (rule.endIds.has(ids[position] ?? -1)) return { ids: [], finish: 'stop' };
  for (let at = position + 1, ends = 0; at < limit; at++) {
    const id = ids[at] ?? -1;
    if (rule.endIds.has(id)) return { ids: ids.slice(position + 1, at), finish: 'stop' };
    if (rule.stops.has(id) && ++ends === rule.sentenceEnds) return { ids: ids.slice(position + 1, at + 1), finish: 'sentences' };
  }
  return { ids: ids.slice(position + 1, limit), finish: 'length' };
}
