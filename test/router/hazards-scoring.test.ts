import assert from 'node:assert/strict';
import { ApiError } from '../../src/router/errors.ts';
import { ScoringError } from '../../src/router/scoring/errors.ts';
import { noSignals, type Scorer, type Signals } from '../../src/router/scoring/signals.ts';
import { retryingScorer } from '../../src/router/scoring-retry.ts';
import { ask, complete, post, type Chunk } from './chat-client.ts';
import { vocabulary } from './model-folder.ts';
import { distribution } from './scripted-models.ts';
import { neuralConfig, scriptedNetwork, states } from './scripted-network.ts';
import { readyStage } from './stage.ts';

const lost = new ScoringError('network_failed', "the router network's thread was lost");
const rows = [{ id: 3 }, { id: 4 }];
const signals: readonly Signals[] = rows.map(({ id }) => ({ ...noSignals, probability: id / 10 }));
const never = new AbortController().signal;
const patience = { delaysMs: [0, 0, 0], timeoutMs: 10_000 };

/** Fails with each of the errors in turn, then scores. */
function scorerFailing(...errors: readonly Error[]): Scorer & { calls: number } {
  const left = [...errors];
  return {
    calls: 0,
    topLogprobs: 100,
    hiddenStates: true,
    score() {
      this.calls++;
      const error = left.shift();
      return error ? Promise.reject(error) : Promise.resolve(signals);
    },
  };
}

const isApiError = (code: string, cause: unknown) => (error: unknown) => {
  assert.ok(error instanceof ApiError);
  assert.deepEqual([error.code, error.cause], [code, cause]);
  return true;
};

describe('scoring when the router network fails', function () {
  this.timeout(60_000);

  it('scores the same rows again while the thread is lost, and asks for what its scorer asks for', async () => {
    const scorer = scorerFailing(lost, lost, lost);
    const retrying = retryingScorer(scorer, patience);
    assert.deepEqual([retrying.topLogprobs, retrying.hiddenStates], [100, true]);
    assert.equal(await retrying.score(rows, never), signals);
    assert.equal(scorer.calls, 4);
  });

  it('gives up with an error that clients can retry after', async () => {
    const scorer = scorerFailing(...Array<Error>(9).fill(lost));
    await assert.rejects(retryingScorer(scorer, patience).score(rows, never), (error) => {
      assert.ok(isApiError('router_network_unavailable', lost)(error));
      assert.deepEqual([(error as ApiError).status, (error as ApiError).retryAfterSeconds], [503, 5]);
      return true;
    });
    assert.equal(scorer.calls, 4);
  });

  it('gives up when rows wait too long for the thread to start again', async () => {
    let calls = 0;
    const stuck: Scorer = {
      ...scorerFailing(),
      score: (_, signal) =>
        calls++ === 0
          ? Promise.reject(lost)
          : new Promise((__, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })),
    };
    const alive = setInterval(() => undefined, 1_000);
    try {
      await assert.rejects(
        retryingScorer(stuck, { delaysMs: [0, 0], timeoutMs: 50 }).score(rows, never),
        isApiError('router_network_unavailable', lost),
      );
    } finally {
      clearInterval(alive);
    }
    assert.equal(calls, 2);
  });

  it('does not try again what would fail again', async () => {
    const invalid = new ScoringError('row_invalid', 'a hidden state has 3 values');
    const closed = new ScoringError('scoring_closed', 'another bundle has taken over');
    const bug = new TypeError('a defect');
    for (const [error, code] of [
      [invalid, 'engine_error'],
      [closed, 'router_network_unavailable'],
    ] as const) {
      const scorer = scorerFailing(error);
      await assert.rejects(retryingScorer(scorer, patience).score(rows, never), isApiError(code, error));
      assert.equal(scorer.calls, 1);
    }
    await assert.rejects(retryingScorer(scorerFailing(bug), patience).score(rows, never), (error) => error === bug);
    await assert.rejects(retryingScorer(scorerFailing(lost, bug), patience).score(rows, never), (error) => error === bug);
  });

  it('stops with the reason of a client that leaves', async () => {
    const client = new AbortController();
    const scorer = scorerFailing(...Array<Error>(9).fill(lost));
    const scoring = retryingScorer(scorer, { delaysMs: [60_000], timeoutMs: 60_000 }).score(rows, client.signal);
    client.abort(new Error('left'));
    await assert.rejects(scoring, (error) => error === client.signal.reason);
    assert.equal(scorer.calls, 1);
  });

  it('answers exactly although the network is lost again and again, and 503 or 502 when it stays away or does not fit', async () => {
    let fails: (run: number) => ScoringError | undefined = (run) => (run % 2 === 0 ? lost : undefined);
    let runs = 0;
    const loadNetwork = scriptedNetwork(() => {
      const error = fails(runs++);
      if (error) throw error;
    });
    const text = 'cat, cot.';
    const start = Buffer.from('assistant\n').length + 1;
    const made = await readyStage({
      lines: [],
      config: { ...neuralConfig, maxDraftTokens: 2, lookahead: 'Nested' },
      router: { loadNetwork },
      slm: {
        next: (prefix) => {
          const position = prefix.length - prefix.lastIndexOf(vocabulary.start) - start;
          const id = text.codePointAt(position) ?? vocabulary.end;
          return { id, top: distribution(id, 0.9), hidden: text[position] === 'o' ? states.divergent : states.plain };
        },
      },
      llm: { next: () => ({ id: 'u'.charCodeAt(0), top: distribution(0, 0.9) }) },
    });
    try {
      const { choices, r2r } = await complete(made.router.url);
      assert.deepEqual([choices[0]?.message.content, r2r?.token_counts], ['cat, cut.', { slm: 9, llm: 1, fallback: 0 }]);
      assert.ok(runs > 5);
      const answered = async (): Promise<unknown[]> => {
        const response = await post(made.router.url, ask);
        return [response.status, response.headers.get('retry-after'), ((await response.json()) as Chunk).error?.code];
      };
      fails = () => new ScoringError('row_invalid', 'a hidden state has 3 values');
      assert.deepEqual(await answered(), [502, null, 'engine_error']);
      fails = () => lost;
      assert.deepEqual(await answered(), [503, '5', 'router_network_unavailable']);
    } finally {
      await made.close();
    }
  });
});
