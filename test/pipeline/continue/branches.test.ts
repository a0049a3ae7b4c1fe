import assert from 'node:assert/strict';
import { generatedBranch, realBranch, type GenerateTokens } from '../../../src/pipeline/continue/branches.ts';

const [dot, newLine, end] = [1, 2, 0];
const rule = { stops: new Set([dot, newLine]), endIds: new Set([end]), sentenceEnds: 2 };

/** A server that says `said` behind a prefix of `length` tokens, stopping at stop and end tokens, at most `most` at a time. */
function server(said: readonly number[], length: number, most = Infinity): GenerateTokens & { readonly prefixes: (readonly number[])[] } {
  const prefixes: (readonly number[])[] = [];
  const generate: GenerateTokens = (prefix, maxNewTokens) => {
    prefixes.push(prefix);
    const rest = said.slice(prefix.length - length, prefix.length - length + Math.min(maxNewTokens, most));
    const at = rest.findIndex((id) => rule.stops.has(id) || rule.endIds.has(id));
    return Promise.resolve({ ids: at < 0 ? rest : rest.slice(0, at + 1), stopped: at >= 0 });
  };
  return Object.assign(generate, { prefixes });
}

describe("the SLM's branch", () => {
  it('goes on to the second end of a sentence, each call behind the one before', async () => {
    const generate = server([11, dot, 12, dot, 13], 2);
    assert.deepEqual(await generatedBranch([9, 10], 100, rule, generate), { ids: [11, dot, 12, dot], finish: 'sentences' });
    assert.deepEqual(generate.prefixes, [
      [9, 10],
      [9, 10, 11, dot],
    ]);
  });

  it('ends with an end token, which is left out', async () => {
    assert.deepEqual(await generatedBranch([9], 100, rule, server([11, dot, 12, end], 1)), { ids: [11, dot, 12], finish: 'stop' });
  });

  it('ends at the limit, and where a server stopped short it is asked again', async () => {
    const said = [11, 12, 13, 14, 15, 16];
    assert.deepEqual(await generatedBranch([9], 5, rule, server(said, 1)), { ids: said.slice(0, 5), finish: 'length' });
    const short = server([11, 12, 13, dot, 14, dot], 1, 2);
    assert.deepEqual(await generatedBranch([9], 100, rule, short), { ids: [11, 12, 13, dot, 14, dot], finish: 'sentences' });
  });

  it('is nothing behind an end token', async () => {
    const generate = server([11], 1);
    assert.deepEqual(await generatedBranch([end], 100, rule, generate), { ids: [], finish: 'stop' });
    assert.equal(generate.prefixes.length, 0);
  });

  it('ends with an end token that only the server knows', async () => {
    const generate: GenerateTokens = () => Promise.resolve({ ids: [11, 77], stopped: true });
    assert.deepEqual(await generatedBranch([9], 100, rule, generate), { ids: [11], finish: 'stop' });
  });
});

describe('the real branch', () => {
  const ids = [9, 10, 11, dot, 12, newLine, 13, end];

  it('is cut by the same rule', () => {
    assert.deepEqual(realBranch(ids, 1, 100, rule), { ids: [11, dot, 12, newLine], finish: 'sentences' });
    assert.deepEqual(realBranch(ids, 4, 100, rule), { ids: [newLine, 13], finish: 'stop' });
    assert.deepEqual(realBranch(ids, 1, 3, rule), { ids: [11, dot, 12], finish: 'length' });
    assert.deepEqual(realBranch(ids, 7, 100, rule), { ids: [], finish: 'stop' });
  });
});
