import assert from 'node:assert/strict';
import type { GenerateTokens } from '../../../src/pipeline/continue/branches.ts';
import { readAlong } from '../../../src/pipeline/continue/read-along.ts';

const [end, dot] = [0, 1];
const rule = { stops: new Set([dot]), endIds: new Set([end]), sentenceEnds: 1 };
const limits = { room: 100, maxTokens: 100, rule };

/** An LLM that goes on from a text as `answers` has it, by the text's last token; to a stop or end token in one call. */
function llm(answers: Readonly<Record<number, readonly number[]>>): GenerateTokens & { readonly calls: string[] } {
  const calls: string[] = [];
  const generate: GenerateTokens = (prefix, maxNewTokens) => {
    calls.push(prefix.join(' '));
    const answer = answers[prefix.at(-1) ?? -1] ?? [];
    return Promise.resolve({ ids: answer.slice(0, maxNewTokens), stopped: answer.length <= maxNewTokens });
  };
  return Object.assign(generate, { calls });
}

describe('an LLM that reads along', () => {
  it('parts from a text nowhere where it would have said the same', async () => {
    const generate = llm({ 9: [20, dot], [dot]: [21, end] });
    assert.deepEqual(await readAlong([9, 20, dot, 21, end], 1, limits, generate), []);
    assert.deepEqual(generate.calls, ['9', '9 20 1'], 'each token is generated once');
  });

  it('is set back behind the text’s token, and goes on from there: both branches of each parting', async () => {
    // it says 31 for 20, and behind 20 it says 32 for 22
    const generate = llm({ 9: [31, 40, dot], 20: [21, 32, dot], 22: [dot], [dot]: [end] });
    assert.deepEqual(await readAlong([9, 20, 21, 22, dot, end], 1, limits, generate), [
      { position: 1, token: 31, real: { ids: [40, dot], finish: 'sentences' }, small: { ids: [21, 32, dot], finish: 'sentences' } },
      { position: 3, token: 32, real: { ids: [dot], finish: 'sentences' }, small: { ids: [dot], finish: 'sentences' } },
    ]);
  });

  it('goes on behind a parting until its branch has as many sentences as are wanted', async () => {
    const generate = llm({ 9: [20, 31, dot], 22: [dot], [dot]: [40, dot] });
    const [parting] = await readAlong([9, 20, 22, end], 1, { ...limits, rule: { ...rule, sentenceEnds: 2 } }, generate);
    assert.deepEqual(parting, {
      position: 2,
      token: 31,
      real: { ids: [dot, 40, dot], finish: 'sentences' },
      small: { ids: [dot, 40, dot], finish: 'sentences' },
    });
  });

  it('has nothing to say behind the text’s end, and may end it earlier', async () => {
    const generate = llm({ 9: [end] });
    assert.deepEqual(await readAlong([9, end], 1, limits, generate), []);
    assert.deepEqual(await readAlong([9, 20, end], 1, limits, llm({ 9: [end], 20: [end] })), [
      { position: 1, token: end, real: { ids: [], finish: 'stop' }, small: { ids: [], finish: 'stop' } },
    ]);
    const late = await readAlong([9, end], 1, limits, llm({ 9: [20, dot] }));
    assert.deepEqual(late, [{ position: 1, token: 20, real: { ids: [dot], finish: 'sentences' }, small: { ids: [], finish: 'stop' } }]);
  });

  it('ends where the model takes no more', async () => {
    const generate = llm({ 9: [20, 31, 40, 41, dot], 22: [42, dot] });
    assert.deepEqual(await readAlong([9, 20, 22, 23, dot, end], 1, { ...limits, room: 4 }, generate), [
      { position: 2, token: 31, real: { ids: [40], finish: 'length' }, small: { ids: [42], finish: 'length' } },
      { position: 3, token: 42, real: { ids: [], finish: 'length' }, small: { ids: [], finish: 'length' } },
    ]);
  });
});
