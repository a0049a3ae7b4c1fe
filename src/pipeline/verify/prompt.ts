import type { ChatMessage } from '../../model/tokenizer.ts';
import { partedTexts, type ShownTexts } from '../token-marks.ts';

/** What the verifier is asked about: a row of the continue step. */
export interface Comparison extends ShownTexts {
  /** `plain` shows it. */
  readonly question: string;
  readonly common_context: string;
  /** The continue step set marks. */
  readonly areMarked: boolean;
}

export type PromptForm = 'standard' | 'plain';

const role = 'You are an expert in comparing what texts mean.';

const task = `Two writers reason about the same problem. They agree word for word up to some point; there each writes a piece of its own, which is set between << and >>, and goes on. The marks are not part of the text. Decide whether the difference matters.

Answer 1 if it changes what is meant: another claim, result or conclusion, another method or line of reasoning, new information, a contradiction, or a turn to something else.
Answer 0 if it is only another way to say it: other words, notation or order, while both follow the same reasoning to the same conclusion.

Example 1
Sentence 1: """The ferry <<needs>> 3 hours, so it arrives at noon."""
Sentence 2: """The ferry <<takes>> 3 hours, so it is there at noon."""
Output: 0

Example 2
Sentence 1: """To find the roots, I will <<factor>> the left side."""
Sentence 2: """To find the roots, I will <<differentiate>> both sides."""
Output: 1

Now judge these.`;

const request = 'Answer with one line, and nothing before it: Output: 0 or Output: 1';
const reminder = 'That is neither 0 nor 1. Answer with one line: Output: 0 if the two sentences mean the same, Output: 1 if they differ.';

/**
 * What the verifier is asked, try by try: a greedy model answers the same words the same way, so each try has other ones.
 *
 * @param refused what it answered in the tries before, none of which was a verdict
 * @returns undefined when there is no other way to ask
 */
export function makeMessages(form: PromptForm, comparison: Comparison, refused: readonly string[]): readonly ChatMessage[] | undefined {
  if (form === 'plain') return plainMessages(comparison, refused.length);
  const again = refused.flatMap((answer) => [
    { role: 'assistant', content: answer },
    { role: 'user', content: reminder },
  ]);
  return [{ role: 'system', content: role }, { role: 'user', content: standardText(comparison) }, ...again];
}

/** What many comparisons have in common comes first, so that an engine with a prefix cache reads it once. */
function standardText(comparison: Comparison): string {
  const { common_context: context, small_diverge_text: small, reference_diverge_text: reference } = comparison;
  const before = context.trim() === '' ? 'There is no text before the two sentences.' : `Common context: """${context.trim()}"""`;
  return `${task}\n\n${before}\n\nSentence 1: """${small.trim()}"""\n\nSentence 2: """${reference.trim()}"""\n\n${request}`;
}

/** As examples/models/README.md has it. The second try leaves out all but the sentence in question, which that verifier has learnt as well. */
function plainMessages(comparison: Comparison, tries: number): readonly ChatMessage[] | undefined {
  if (tries > 1) return undefined;
  const { shared, small, reference } = partedTexts(comparison, comparison.areMarked);
  const [question, before] = tries === 0 ? [comparison.question, comparison.common_context] : ['', ''];
  const lines = [
    question.trim(),
    `Shared: ${(before + shared).trim()}`,
    `A: ${reference.trim()}`,
    `B: ${small.trim()}`,
    'Do A and B differ in meaning? Answer 0 or 1.',
  ];
  return [{ role: 'user', content: lines.join('\n') }];
}
