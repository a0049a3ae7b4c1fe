import assert from 'node:assert/strict';
import { send } from './recording.ts';

interface Scored {
  readonly meta_info: {
    readonly output_top_logprobs: readonly (readonly (readonly [number, number, string | null])[])[];
    readonly output_token_ids_logprobs: readonly (readonly (readonly [number, number, string | null])[])[];
  };
}

/**
 * Asserts that two greedy continuations of a prompt agree. At the first difference both tokens must lie within `tie` of the best
 * log-probability, which our engine (at `base`) is asked for; what follows it is another text and is not compared. Returns how many tokens agree.
 */
export async function assertSameGreedyTokens(
  base: string,
  promptIds: readonly number[],
  expected: readonly number[],
  actual: readonly number[],
  tie: number,
): Promise<number> {
  const at = expected.findIndex((token, index) => token !== actual[index]);
  if (at === -1) {
    assert.equal(actual.length, expected.length);
    return expected.length;
  }
  const [theirs, ours] = [expected[at], actual[at]];
  assert.ok(theirs !== undefined && ours !== undefined, `one continuation ends after ${at} tokens`);
  const body = {
    input_ids: [...promptIds, ...expected.slice(0, at)],
    sampling_params: { max_new_tokens: 1, temperature: 0 },
    return_logprob: true,
    top_logprobs_num: 1,
    token_ids_logprob: [theirs, ours],
  };
  const { meta_info: info } = (await send(base, { method: 'POST', path: '/generate', body })).json as Scored;
  const best = info.output_top_logprobs[0]?.[0]?.[0] ?? NaN;
  for (const [logprob, token] of info.output_token_ids_logprobs[0] ?? []) {
    assert.ok(
      best - logprob <= tie,
      `token ${at} is ${ours} instead of ${theirs}, and ${token} lies ${best - logprob} below the best, more than ${tie}`,
    );
  }
  return at;
}
