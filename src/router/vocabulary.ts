import type { Tokenizer } from '../model/tokenizer.ts';

/** The two models cannot be routed together: a token of one means something else to the other. */
export class VocabularyError extends Error {
  override readonly name = 'VocabularyError';
  readonly code = 'VOCABULARY_MISMATCH';
}

/** How many differing tokens a message names. */
const named = 8;

/**
 * Refuses two models that do not share one vocabulary: equal tokenizer id-to-token maps and equal special tokens. Their `vocab_size` may
 * differ (models pad it differently).
 *
 * @throws VocabularyError saying which tokens differ
 */
export function checkSameVocabulary(slm: Tokenizer, llm: Tokenizer): void {
  const differing: string[] = [];
  const ids = (map: ReadonlyMap<string, number>, token: string): string => map.get(token)?.toString() ?? 'absent';
  for (const token of new Set([...slm.tokenToId.keys(), ...llm.tokenToId.keys()])) {
    const [inSlm, inLlm] = [ids(slm.tokenToId, token), ids(llm.tokenToId, token)];
    if (inSlm !== inLlm) differing.push(`${JSON.stringify(token)} (SLM ${inSlm}, LLM ${inLlm})`);
  }
  if (differing.length > 0) throw mismatch(`${differing.length} tokens have different ids: ${some(differing)}`);

  const [slmSpecial, llmSpecial] = [new Set(slm.specialIds), new Set(llm.specialIds)];
  const tokenOf = new Map([...slm.tokenToId].map(([token, id]) => [id, token]));
  const oneSided = [...slm.specialIds, ...llm.specialIds].filter((id) => !slmSpecial.has(id) || !llmSpecial.has(id));
  const special = oneSided.map(
    (id) => `${JSON.stringify(tokenOf.get(id) ?? '')} (id ${id}) is special to the ${slmSpecial.has(id) ? 'SLM' : 'LLM'} only`,
  );
  if (special.length > 0) throw mismatch(some(special));
}

function mismatch(what: string): VocabularyError {
  return new VocabularyError(
    `the SLM and the LLM do not share one vocabulary, so a token of one cannot be handed to the other. ${what}. Use two models of one family.`,
  );
}

function some(items: readonly string[]): string {
  return items.slice(0, named).join(', ') + (items.length > named ? ` and ${items.length - named} more` : '');
}
