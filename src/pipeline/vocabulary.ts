import type { Tokenizer } from '../model/tokenizer.ts';
import { PipelineError } from './errors.ts';

/** How many differing tokens a message names. */
const named = 5;

/**
 * Refuses two models of which one reads other tokens than the other: the LLM's answers are fed to the SLM as ids.
 *
 * @throws PipelineError `PIPELINE_MODEL`
 */
export function checkOneVocabulary(slm: Tokenizer, llm: Tokenizer): void {
  const differing: string[] = [];
  for (const token of new Set([...slm.tokenToId.keys(), ...llm.tokenToId.keys()])) {
    const [inSlm, inLlm] = [slm.tokenToId.get(token), llm.tokenToId.get(token)];
    if (inSlm !== inLlm) differing.push(`${JSON.stringify(token)} (SLM ${inSlm ?? 'absent'}, LLM ${inLlm ?? 'absent'})`);
  }
  if (differing.length === 0) return;
  const problem = `SLM and LLM have tokenizers of two families: ${differing.length} tokens differ, such as ${differing.slice(0, named).join(', ')}`;
  throw new PipelineError('PIPELINE_MODEL', problem, 'use two models of one family', { field: 'models' });
}
