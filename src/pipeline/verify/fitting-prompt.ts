import type { ChatMessage, Tokenizer } from '../../model/tokenizer.ts';
import { PipelineError } from '../errors.ts';
import type { JsonValue } from '../step-identity.ts';
import { lineEncoder } from './line-encoder.ts';
import type { Comparison } from './prompt.ts';

export interface FittingOptions {
  readonly tokenizer: Tokenizer;
  /** Prompt and answer together. */
  readonly contextLength: number;
  readonly maxNewTokens: number;
  readonly enableThinking: boolean;
  readonly templateVariables: Readonly<Record<string, JsonValue>>;
}

export interface FittingPrompt {
  readonly ids: readonly number[];
  /** The beginning of the common context is left out. */
  readonly isShortened: boolean;
}

/** Room for what tokenises otherwise where a text is cut. */
const marginTokens = 8;

/**
 * The prompt's tokens. Where they are more than the verifier takes, the beginning of the common context is left out, which matters least.
 *
 * @param messagesOf what it is asked about a comparison; undefined: nothing more
 * @returns undefined when there is nothing more to ask, or it does not fit even so
 * @throws PipelineError `PIPELINE_MODEL` when the verifier has no chat template or its template refuses the messages
 */
export function fittingPrompt(
  comparison: Comparison,
  messagesOf: (shown: Comparison) => readonly ChatMessage[] | undefined,
  options: FittingOptions,
): FittingPrompt | undefined {
  const { tokenizer, contextLength, maxNewTokens } = options;
  const encodeText = lineEncoder(tokenizer);
  const encode = (shown: Comparison): number[] | undefined => {
    const messages = messagesOf(shown);
    return messages && encodeText(render(messages, options));
  };
  const whole = encode(comparison);
  if (!whole) return undefined;
  const excess = whole.length + maxNewTokens - contextLength;
  if (excess <= 0) return { ids: whole, isShortened: false };
  const contextIds = tokenizer.encode(comparison.common_context);
  const kept = contextIds.slice(Math.min(contextIds.length, excess + marginTokens));
  const context = kept.length === 0 ? '' : `…${tokenizer.decode(kept, { keepSpecialTokens: true })}`;
  const ids = encode({ ...comparison, common_context: context });
  return ids && ids.length + maxNewTokens <= contextLength ? { ids, isShortened: true } : undefined;
}

function render(messages: readonly ChatMessage[], { tokenizer, enableThinking, templateVariables }: FittingOptions): string {
  try {
    return tokenizer.applyChatTemplate(messages, { enable_thinking: enableThinking, ...templateVariables });
  } catch (cause) {
    const said = cause instanceof Error ? cause.message : String(cause);
    const fix = 'use a chat model, or correct templateVariables';
    throw new PipelineError('PIPELINE_MODEL', `the verifier's chat template cannot be used: ${said}`, fix, {
      field: 'models.verifier',
      cause,
    });
  }
}
