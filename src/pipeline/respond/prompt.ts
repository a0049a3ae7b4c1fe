import type { Tokenizer } from '../../model/tokenizer.ts';
import { PipelineError } from '../errors.ts';
import type { JsonValue } from '../step-identity.ts';

export interface PromptOptions {
  readonly enableThinking: boolean;
  /** Handed to the template besides `enable_thinking`, and over it. */
  readonly templateVariables: Readonly<Record<string, JsonValue>>;
  readonly thinkStart: string;
}

/** A question as a model reads it. */
export interface Prompt {
  /** The template's text: the question is in it, so nothing may apply a template to it again. */
  readonly text: string;
  /** The text's tokens; special tokens are those of the template, none is added. */
  readonly ids: readonly number[];
  /** The template left the opening think tag to be continued. */
  readonly startsThinking: boolean;
}

/**
 * Renders a question through the model's chat template, once, and tokenises it.
 *
 * @throws PipelineError `PIPELINE_MODEL` when the model has no template or its template refuses the question
 */
export function makePrompt(question: string, tokenizer: Tokenizer, options: PromptOptions): Prompt {
  const variables = { enable_thinking: options.enableThinking, ...options.templateVariables };
  let text: string;
  try {
    text = tokenizer.applyChatTemplate([{ role: 'user', content: question }], variables);
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    throw new PipelineError(
      'PIPELINE_MODEL',
      `the SLM's chat template cannot be used: ${said}`,
      'use a chat model, or correct templateVariables',
      {
        field: 'models.slm',
        cause,
      },
    );
  }
  return { text, ids: tokenizer.encode(text), startsThinking: text.trimEnd().endsWith(options.thinkStart) };
}
