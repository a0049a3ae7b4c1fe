import type { Workspace } from '../workspace/workspace.ts';
import { distributionOf, distributionText, labelClasses, type Distribution } from './distribution.ts';
import { examplesOf, type Example, type Examples, type ExamplesOptions } from './examples.ts';
import { openLabelChain } from './label-chain.ts';

/** What is in a label set, for people; as it is, it is the report's JSON. */
export interface LabelReport {
  readonly distribution: Distribution;
  readonly examples: Examples;
}

/**
 * Reports on a label set of a workspace.
 *
 * @param hash of the construct step @default the only one that is done
 * @throws PipelineError `PIPELINE_INPUT_MISSING`, `PIPELINE_PART_CORRUPT`
 */
export async function reportLabels(workspace: Workspace, options: ExamplesOptions & { readonly hash?: string } = {}): Promise<LabelReport> {
  const chain = await openLabelChain(workspace, options.hash);
  return { distribution: distributionOf(chain.construct), examples: await examplesOf(chain, options) };
}

/** Of a context, its end. */
const shownCharacters = 240;

export function reportText({ distribution, examples }: LabelReport): string {
  const meanings = {
    identical: 'The SLM would have said the same token.',
    neutral: 'The SLM would have said another token; the verifier finds that it means the same.',
    divergent: 'The SLM would have said another token; the verifier finds that it changes the meaning.',
    unknown: 'The SLM would have said another token; the verifier gave no verdict.',
  };
  const parts = labelClasses
    .filter((label) => examples[label].length > 0)
    .map((label) => [`${label}: ${meanings[label]}`, '', ...examples[label].map(exampleText)].join('\n'));
  return [distributionText(distribution), ...parts].join('\n');
}

function exampleText(example: Example, index: number): string {
  const { id, tokenId, context, llmText, slmText, label, verdict, attempts } = example;
  const lines = [`${String(index + 1).padStart(3)}. ${visible(id)}, token ${tokenId}`];
  if (context !== '') lines.push(`     … ${visible(context.slice(-shownCharacters))}`);
  if (label === 'identical') lines.push(`     both: ${visible(llmText)}`);
  else lines.push(`     LLM:  ${visible(llmText)}`, `     SLM:  ${visible(slmText)}`);
  if (label === 'unknown') lines.push(`     verifier, asked ${attempts} times: ${visible(verdict.slice(0, shownCharacters))}`);
  return [...lines, ''].join('\n');
}

/** On one line, and without what would command a terminal. */
function visible(text: string): string {
  return text.replace(/\r?\n/g, '↵').replace(/[\p{Cc}\p{Bidi_Control}]/gu, '�');
}
