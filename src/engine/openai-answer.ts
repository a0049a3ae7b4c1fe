import type { Tokenizer } from '../model/tokenizer.ts';
import type { Generation } from './generation.ts';
import type { Ranked, TokenLogprobs } from './logits.ts';

const seconds = () => Math.floor(Date.now() / 1000);

/** Fields every answer and every chunk of one request share. */
export function envelope(id: string, object: string, model: string, created = seconds()): Record<string, unknown> {
  return { id, object, created, model };
}

export function finishFields({ finish }: Generation): {
  readonly finish_reason: string | null;
  readonly matched_stop: number | string | null;
} {
  return { finish_reason: finish?.type ?? null, matched_stop: finish?.type === 'stop' ? finish.matched : null };
}

/** Token counts over all choices; a prompt counts once, however many choices it has. */
export function usage(generations: readonly Generation[], samples: number): Record<string, unknown> {
  const prompt = generations.reduce((sum, { plan }, index) => sum + (index % samples === 0 ? plan.request.promptIds.length : 0), 0);
  const completion = generations.reduce((sum, { ids }) => sum + ids.length, 0);
  return {
    prompt_tokens: prompt,
    total_tokens: prompt + completion,
    completion_tokens: completion,
    prompt_tokens_details: null,
    reasoning_tokens: 0,
    completion_tokens_details: null,
  };
}

export function metadata(generation: Generation | undefined): Record<string, unknown> {
  return { weight_version: 'default', weight_versions: [{ version: 'default', start: 0, end: generation?.ids.length ?? 0 }] };
}

/** The hidden state of the last step, as SGLang's OpenAI routes give it: empty when there was but one. */
export function lastHiddenState({ hiddenStates }: Generation): readonly unknown[] {
  return hiddenStates.length > 1 ? (hiddenStates.at(-1) ?? []) : [];
}

/** Chat log-probabilities: `{content: [{token, bytes, logprob, top_logprobs}]}`. */
export function chatLogprobs(ids: readonly number[], logprobs: readonly TokenLogprobs[], tokenizer: Tokenizer): Record<string, unknown> {
  const entry = (id: number, logprob: number) => ({
    token: tokenizer.decode([id], { keepSpecialTokens: true }),
    bytes: Array.from(tokenizer.tokenBytes(id)),
    logprob,
  });
  return {
    content: logprobs.map(({ logprob, top }, index) => ({
      ...entry(ids[index] ?? 0, logprob),
      top_logprobs: top.ids.map((id, rank) => entry(id, top.logprobs[rank] ?? 0)),
    })),
  };
}

/** A token's text; where it is no whole character, its bytes as Latin-1, so that nothing is lost. */
function losslessText(id: number, tokenizer: Tokenizer): string {
  const text = tokenizer.decode([id], { keepSpecialTokens: true });
  return text.includes('\uFFFD') ? Buffer.from(tokenizer.tokenBytes(id)).toString('latin1') : text;
}

/** Completion log-probabilities in OpenAI's old style; `prompt` entries come first, when the prompt is echoed. */
export function completionLogprobs(
  generation: Generation,
  from: number,
  withPrompt: boolean,
  tokenizer: Tokenizer,
): Record<string, unknown> {
  const prompt = withPrompt ? generation.promptLogprobs : undefined;
  const added = generation.logprobs.slice(from);
  const ids = [...(prompt?.ids ?? []), ...generation.ids.slice(from, from + added.length)];
  const ranked = (top: Ranked | null) =>
    top && Object.fromEntries(top.ids.map((id, rank) => [losslessText(id, tokenizer), top.logprobs[rank]]));
  const tops = [...(prompt?.top ?? []), ...added.map(({ top }) => top)];
  const hasTops = (generation.plan.request.logprobs?.topCount ?? 0) > 0;
  return {
    text_offset: ids.map(() => -1),
    token_logprobs: [...(prompt?.logprobs ?? []), ...added.map(({ logprob }) => logprob)],
    tokens: ids.map((id) => losslessText(id, tokenizer)),
    top_logprobs: hasTops ? tops.map(ranked) : [],
  };
}
